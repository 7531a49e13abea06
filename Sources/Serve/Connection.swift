// The connection behind a request: how long it may take to ask and to read, when it ends, and who has left.

import HTTPTypes
import Hummingbird
import NIOCore
import NIOHTTPTypes

/// What a responder knows of a request beside the request.
struct ConnectionContext: InitializableFromSource {
  /// The connection.
  let channel: any Channel

  init(source: ApplicationRequestContextSource) { channel = source.channel }
}

/// Closes a connection that is of no more use.
///
/// - The rest of a request is waited for from its head on as long as a silent connection, however often a byte comes; so is
///   the reading of an answer that is there at once. Answers of the model have a limit of their own (``Responder``).
/// - POST ends a connection, so that no more than one generation waits for the end of each; an answer with
///   `Connection: close` does too. What is still sent then is not waited for.
/// - A client that has closed its side gets what can be answered at once, and no more.
final class ConnectionLimits: ChannelDuplexHandler, RemovableChannelHandler {
  typealias InboundIn = HTTPRequestPart
  typealias InboundOut = HTTPRequestPart
  typealias OutboundIn = HTTPResponsePart
  typealias OutboundOut = HTTPResponsePart

  /// From a client's leaving to the end.
  static let leavingDelay = TimeAmount.seconds(1)
  /// From the last answer to the end: a client that still sends would lose an answer if it were cut off at once.
  static let lingering = TimeAmount.seconds(2)

  private let limit: TimeAmount
  private var reading: Scheduled<Void>?
  private var answering: Scheduled<Void>?
  private var openAnswers = 0
  /// Whether no request after the present one will be answered.
  private var isLast = false

  /// A handler with a limit of `seconds`.
  init(seconds: Int) { limit = .seconds(Int64(seconds)) }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    switch unwrapInboundIn(data) {
    case .head(var head) where !isLast:
      reading?.cancel()
      reading = close(context.channel, in: limit)
      if head.method == .post {
        isLast = true
        answering?.cancel()
        answering = nil
        // Hummingbird ends a connection for the request's word, not for the answer's.
        head.headerFields[.connection] = "close"
        context.fireChannelRead(wrapInboundOut(.head(head)))
        return
      }
      openAnswers += 1
      if answering == nil { answering = close(context.channel, in: limit) }
    case .end:
      reading?.cancel()
      reading = nil
    default: break
    }
    context.fireChannelRead(data)
  }

  func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
    switch unwrapOutboundIn(data) {
    case .head(let head):
      if head.headerFields[.connection] == "close" { isLast = true }
      context.write(data, promise: promise)
    case .end:
      let written = promise ?? context.eventLoop.makePromise(of: Void.self)
      let channel = context.channel
      written.futureResult.assumeIsolated().whenComplete { [self] _ in didAnswer(on: channel) }
      context.write(data, promise: written)
    default: context.write(data, promise: promise)
    }
  }

  /// An answer has been handed to the system.
  private func didAnswer(on channel: any Channel) {
    answering?.cancel()
    answering = nil
    if isLast {
      _ = close(channel, in: Self.lingering)
      return
    }
    openAnswers = max(0, openAnswers - 1)
    if openAnswers > 0 { answering = close(channel, in: limit) }
  }

  func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
    if let event = event as? ChannelEvent, event == .inputClosed {
      _ = close(context.channel, in: Self.leavingDelay)
    }
    context.fireUserInboundEventTriggered(event)
  }

  func channelInactive(context: ChannelHandlerContext) {
    reading?.cancel()
    answering?.cancel()
    (reading, answering) = (nil, nil)
    context.fireChannelInactive()
  }

  private func close(_ channel: any Channel, in time: TimeAmount) -> Scheduled<Void> {
    channel.eventLoop.scheduleTask(in: time) { channel.close(promise: nil) }
  }
}
