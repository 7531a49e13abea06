// Where `serve` listens, who may ask, and how much it takes.

import ArgumentParser
import Serve

/// The options of a server.
struct ServeArguments: ParsableArguments {
  @Option(help: ArgumentHelp("Address to listen on.", valueName: "address"))
  var host = "127.0.0.1"
  @Option(help: ArgumentHelp("Port; 0 lets the system choose.", valueName: "n")) var port = 8080
  @Option(help: ArgumentHelp("Key that clients must show.", valueName: "key"))
  var apiKey: String?
  @Option(
    help: ArgumentHelp("Further name of this server for browsers (repeat it).", valueName: "name"))
  var allowedHost: [String] = []
  @Option(help: ArgumentHelp("Answers decoded together.", valueName: "n")) var maxConcurrency = 16
  @Option(help: ArgumentHelp("Requests that may wait.", valueName: "n")) var maxQueue = 64
  @Option(help: ArgumentHelp("Tokens of prompt and answer together.", valueName: "n"))
  var maxModelLen = 4096
  @Option(help: ArgumentHelp("Tokens of an answer unless the request says.", valueName: "n"))
  var maxNewTokens = 1024
  @Option(help: ArgumentHelp("Largest body of a request in bytes.", valueName: "n"))
  var maxBodyBytes = 4 << 20
  @Option(help: ArgumentHelp("Longest time for an answer in seconds.", valueName: "s"))
  var requestTimeout = 600
  @Option(
    help: ArgumentHelp(
      "Time for running answers when the server stops, in seconds.", valueName: "s"))
  var shutdownTimeout = 30
  @Option(help: ArgumentHelp("Tokens of past prompts kept for the next ones.", valueName: "n"))
  var prefixCacheTokens = 4096
  @Option(
    help: ArgumentHelp("Name of the base model (default: that of its folder).", valueName: "name"))
  var servedModelName: String?
  @Flag(
    inversion: .prefixedNo, exclusivity: .chooseLast,
    help: "Send what stands between <think> and </think> as reasoning_content.")
  var splitReasoning = false

  mutating func validate() throws {
    func require(_ value: Int, _ name: String, _ range: ClosedRange<Int>) throws {
      guard range.contains(value) else {
        throw ValidationError(
          "--\(name): expected \(range.lowerBound) to \(range.upperBound), found \(value)")
      }
    }
    try require(port, "port", 0...65_535)
    try require(maxConcurrency, "max_concurrency", 1...1024)
    try require(maxQueue, "max_queue", 0...100_000)
    try require(maxModelLen, "max_model_len", 2...(1 << 24))
    try require(maxNewTokens, "max_new_tokens", 1...(1 << 24))
    try require(maxBodyBytes, "max_body_bytes", 1024...(1 << 30))
    try require(requestTimeout, "request_timeout", 1...86_400)
    try require(shutdownTimeout, "shutdown_timeout", 0...3600)
    try require(prefixCacheTokens, "prefix_cache_tokens", 0...(1 << 24))
    if let apiKey, apiKey.isEmpty { throw ValidationError("--api_key: expected a key, found none") }
  }

  /// The settings of the server.
  var options: ServerOptions {
    var options = ServerOptions()
    options.host = host
    options.port = port
    options.apiKey = apiKey
    options.allowedHosts = allowedHost
    options.maxConcurrency = maxConcurrency
    options.maxQueue = maxQueue
    options.maxModelLength = maxModelLen
    options.defaultMaxTokens = maxNewTokens
    options.maxBodyByteCount = maxBodyBytes
    options.requestTimeoutSeconds = requestTimeout
    options.shutdownSeconds = shutdownTimeout
    options.splitsReasoning = splitReasoning
    return options
  }
}
