// Where a server listens and how much it takes.

/// The settings of a server.
public struct ServerOptions: Sendable {
  /// The address to listen on; loopback unless told otherwise.
  public var host = "127.0.0.1"
  /// The port; 0 lets the system choose.
  public var port = 8080
  /// The key that clients must show; nil lets everybody in.
  public var apiKey: String?
  /// Names of this server in requests of browsers, beside its addresses.
  public var allowedHosts: [String] = []
  /// Answers that are decoded together.
  public var maxConcurrency = 16
  /// Requests that wait for their turn; more are refused with status 429.
  public var maxQueue = 64
  /// Tokens of prompt and answer together.
  public var maxModelLength = 4096
  /// Tokens of an answer where the request does not say.
  public var defaultMaxTokens = 1024
  /// Bytes of a request's body.
  public var maxBodyByteCount = 4 << 20
  /// Bytes of a request's header fields.
  public var maxHeaderByteCount = 16 << 10
  /// Connections at a time.
  public var maxConnections = 512
  /// Seconds an answer may take, waiting included.
  public var requestTimeoutSeconds = 600
  /// Seconds after which a silent connection without a request is closed.
  public var idleTimeoutSeconds = 60
  /// Seconds that running answers have to end when the server stops.
  public var shutdownSeconds = 30
  /// Whether what stands between `<think>` and `</think>` is `reasoning_content` instead of content.
  public var splitsReasoning = false

  /// The defaults.
  public init() {}

  /// Whether only this machine can reach the server.
  public var isLoopback: Bool { Self.isLoopback(host) }

  /// Whether `host` is a name or an address of this machine for itself.
  static func isLoopback(_ host: String) -> Bool {
    host == "localhost" || host == "::1" || host == "[::1]"
      || (host.utf8.starts(with: "127.".utf8) && isIPv4(host))
  }

  /// Whether `host` is four numbers with dots in between.
  static func isIPv4(_ host: String) -> Bool {
    let parts = host.split(separator: ".", omittingEmptySubsequences: false)
    return parts.count == 4 && parts.allSatisfy { UInt8($0) != nil }
  }
}
