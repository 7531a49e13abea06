// The connection behind a request: who leaves is noticed while nothing is being written.

import Hummingbird
import NIOCore
import NIOHTTPTypes

/// What a responder knows of a request beside the request.
struct ConnectionContext: InitializableFromSource {
  /// The connection.
  let channel: any Channel

  init(source: ApplicationRequestContextSource) { channel = source.channel }
}

/// Closes a connection whose client has closed its side, a moment later: what can be answered at once still is.
final class LeavingClientHandler: ChannelInboundHandler, RemovableChannelHandler {
  typealias InboundIn = HTTPRequestPart
  typealias InboundOut = HTTPRequestPart

  /// The moment.
  static let delay = TimeAmount.seconds(1)

  func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
    if let event = event as? ChannelEvent, event == .inputClosed {
      let channel = context.channel
      channel.eventLoop.scheduleTask(in: Self.delay) { channel.close(promise: nil) }
    }
    context.fireUserInboundEventTriggered(event)
  }
}
