// Requests to a hub. Redirections are followed here, one by one, because each decides anew who sees the token.

/// A way to the hub, with connections that serve one request after the other. Belongs to one thread.
final class Transport {
  private let context: HubContext
  private let handle: CurlHandle

  private var settings: HubSettings { context.settings }

  /// A way without connections.
  init(_ context: HubContext) throws(HubError) {
    guard let handle = CurlHandle() else {
      throw .response(subject: "libcurl", problem: "cannot begin (is there memory left?)")
    }
    (self.context, self.handle) = (context, handle)
  }

  /// Sends a request, follows redirections and hands the last answer to `receiver`. A request for the head alone stops
  /// where the way leaves the hub, whose words it is after.
  func send(
    isHead: Bool = false, to start: WebAddress, headers: [(name: String, value: String)] = [],
    subject: String, receiver: any ReplyReceiver
  ) throws(Setback) {
    var address = start
    var visited: Set<WebAddress> = [start]
    var metadata = FileMetadata()
    while true {
      var request = HTTPRequest(isHead: isHead, address: address)
      request.headers = [("User-Agent", settings.userAgent)] + headers
      if let token = settings.token, settings.isTrusted(address) {
        request.headers.append(("Authorization", "Bearer \(token)"))
      }
      let hop = Hop(self, isHead: isHead, address: address, metadata, subject, receiver)
      try handle.perform(request, settings: settings, receiver: hop) { context.isStopped }
      guard let target = hop.target else { return }
      guard visited.insert(target).inserted else {
        throw Self.refusal(subject, "the server redirects in a circle")
      }
      guard visited.count <= settings.maximumRedirects + 1 else {
        throw Self.refusal(subject, "more than \(settings.maximumRedirects) redirections")
      }
      (address, metadata) = (target, hop.metadata)
    }
  }

  /// Where a redirection leads, nil where it is not to be followed.
  private func target(
    of head: HTTPHead, from address: WebAddress, isHead: Bool, subject: String
  ) throws(Setback) -> WebAddress? {
    guard let location = head["Location"],
      let target = WebAddress(location, relativeTo: address)
    else {
      throw Self.refusal(subject, "the server redirects to no web address (is HF_ENDPOINT a hub?)")
    }
    if isHead, !settings.isTrusted(target), !target.hasSameOrigin(as: address) { return nil }
    let isLocalHub = !settings.endpoint.isSecure && settings.endpoint.isLoopback
    if address.isSecure, !target.isSecure, !isLocalHub {
      throw Self.refusal(subject, "the server redirects from https to http, to \(target.host)")
    }
    return target
  }

  private static func refusal(_ subject: String, _ problem: String) -> Setback {
    .final(.redirect(subject: subject, problem: problem))
  }

  /// One request on the way.
  private final class Hop: BodyReceiver {
    /// Where the next one goes, nil where this was the last.
    private(set) var target: WebAddress?
    /// What the hub has said so far.
    private(set) var metadata: FileMetadata
    private let transport: Transport
    private let isHead: Bool
    private let address: WebAddress
    private let subject: String
    private let receiver: any ReplyReceiver

    init(
      _ transport: Transport, isHead: Bool, address: WebAddress, _ metadata: FileMetadata,
      _ subject: String, _ receiver: any ReplyReceiver
    ) {
      (self.transport, self.isHead, self.address) = (transport, isHead, address)
      (self.metadata, self.subject, self.receiver) = (metadata, subject, receiver)
    }

    func begin(_ head: HTTPHead) throws(Setback) -> Bool {
      let isTrusted = transport.settings.isTrusted(address)
      if isTrusted, head["X-Repo-Commit"] != nil || metadata.commit == nil {
        metadata = FileMetadata(head)
      }
      if head.isRedirect {
        target = try transport.target(of: head, from: address, isHead: isHead, subject: subject)
        if target != nil { return false }
      }
      return try receiver.begin(Reply(head: head, address: address, metadata: metadata))
    }

    func take(_ bytes: [UInt8]) throws(Setback) { try receiver.take(bytes) }
  }
}
