// One request at a time through libcurl, on the thread that asks. Nothing is followed, unpacked or believed here that
// the caller has not asked for; the bytes are handed on as they come, and no more are read before they are taken.

import CCurl

/// A request.
struct HTTPRequest {
  /// Whether only the head of the answer is wanted.
  var isHead = false
  /// Where to.
  var address: WebAddress
  /// Header fields, in order.
  var headers: [(name: String, value: String)] = []
}

/// A handle of libcurl with its connections, which serve one request after the other. Belongs to one thread.
final class CurlHandle {
  private let easy: UnsafeMutableRawPointer
  private let multi: UnsafeMutableRawPointer
  private let errorText: UnsafeMutablePointer<CChar>
  private static let isReady = qwen_sft_curl_begin() == CURLE_OK

  /// A handle without connections, nil where the library has none to give.
  init?() {
    guard Self.isReady, let easy = curl_easy_init() else { return nil }
    guard let multi = curl_multi_init() else {
      curl_easy_cleanup(easy)
      return nil
    }
    (self.easy, self.multi) = (easy, multi)
    errorText = .allocate(capacity: Int(CURL_ERROR_SIZE))
    errorText.initialize(repeating: 0, count: Int(CURL_ERROR_SIZE))
  }

  deinit {
    curl_easy_cleanup(easy)
    curl_multi_cleanup(multi)
    errorText.deallocate()
  }

  /// Sends `request` and hands the answer to `receiver`.
  func perform(
    _ request: HTTPRequest, settings: HubSettings, receiver: any BodyReceiver,
    isStopped: () -> Bool
  ) throws(Setback) {
    let exchange = CurlExchange(receiver)
    curl_easy_reset(easy)
    errorText.update(repeating: 0, count: Int(CURL_ERROR_SIZE))
    let fields = headerList(request)
    defer { curl_slist_free_all(fields) }
    guard configure(request, settings, fields: fields, exchange),
      curl_multi_add_handle(multi, easy) == CURLM_OK
    else {
      throw .final(
        .response(
          subject: request.address.host, problem: "libcurl cannot do what is asked (is it too old?)"
        ))
    }
    defer { curl_multi_remove_handle(multi, easy) }
    try withExtendedLifetime(exchange) { () throws(Setback) in
      try run(exchange, settings, host: request.address.host, isStopped: isStopped)
    }
  }

  private func run(
    _ exchange: CurlExchange, _ settings: HubSettings, host: String, isStopped: () -> Bool
  ) throws(Setback) {
    let clock = ContinuousClock()
    let start = clock.now
    var window: (start: ContinuousClock.Instant, byteCount: Int)?
    var runningCount: Int32 = 1
    let pollMilliseconds = Int32(max(1, settings.pollSeconds * 1000))
    while true {
      let code = curl_multi_perform(multi, &runningCount)
      if let failure = exchange.failure { throw failure }
      guard code == CURLM_OK else {
        throw .transient(
          problem: "\(host): \(String(cString: curl_multi_strerror(code)))", retryAfterSeconds: nil)
      }
      if runningCount == 0 { break }
      if isStopped() { throw .final(.stopped) }
      let now = clock.now
      if !exchange.hasHead {
        if now - start > .seconds(settings.answerSeconds) {
          throw .transient(
            problem: "\(host): no answer in \(Self.text(settings.answerSeconds)) s",
            retryAfterSeconds: nil)
        }
      } else if let current = window,
        exchange.byteCount - current.byteCount < settings.minimumByteCount
      {
        if now - current.start > .seconds(settings.stallSeconds) {
          throw .transient(
            problem: "\(host): the transfer stalled: "
              + "\(byteText(exchange.byteCount - current.byteCount)) in "
              + "\(Self.text(settings.stallSeconds)) s", retryAfterSeconds: nil)
        }
      } else {
        window = (now, exchange.byteCount)
      }
      curl_multi_poll(multi, nil, 0, pollMilliseconds, nil)
    }
    if exchange.hasEnough { return }
    let result = qwen_sft_curl_result(multi)
    guard result == Int32(CURLE_OK.rawValue) else { throw setback(result, host: host) }
    guard exchange.hasHead else {
      throw .transient(problem: "\(host): the answer has no head", retryAfterSeconds: nil)
    }
  }

  private func headerList(_ request: HTTPRequest) -> UnsafeMutablePointer<curl_slist>? {
    var list: UnsafeMutablePointer<curl_slist>?
    for field in request.headers {
      if let longer = curl_slist_append(list, "\(field.name): \(field.value)") { list = longer }
    }
    return list
  }

  /// Sets all options of a request; false where one is not known.
  private func configure(
    _ request: HTTPRequest, _ settings: HubSettings,
    fields: UnsafeMutablePointer<curl_slist>?, _ exchange: CurlExchange
  ) -> Bool {
    func set(_ option: CURLoption, _ value: Int) -> Bool {
      qwen_sft_curl_set_number(easy, option, value) == CURLE_OK
    }
    func set(_ option: CURLoption, _ value: String) -> Bool {
      qwen_sft_curl_set_text(easy, option, value) == CURLE_OK
    }
    let connectMilliseconds = Int(max(1, min(settings.connectSeconds * 1000, 1e9)))
    // Only speed depends on it, and libcurl refuses it on a handle whose last host was not found.
    _ = set(CURLOPT_BUFFERSIZE, 1 << 18)
    return set(CURLOPT_URL, request.address.description)
      && qwen_sft_curl_allow_web(easy) == CURLE_OK
      && set(request.isHead ? CURLOPT_NOBODY : CURLOPT_HTTPGET, 1)
      && set(CURLOPT_FOLLOWLOCATION, 0)
      && set(CURLOPT_NOSIGNAL, 1)
      && set(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1)
      && set(CURLOPT_CONNECTTIMEOUT_MS, connectMilliseconds)
      && set(CURLOPT_TCP_KEEPALIVE, 1)
      // Plain bytes are asked for; a body that comes packed all the same is unpacked.
      && set(CURLOPT_ACCEPT_ENCODING, "identity")
      // A hub on this machine is never behind a proxy.
      && (!request.address.isLoopback || set(CURLOPT_NOPROXY, "*"))
      && (settings.certificateFile.map { set(CURLOPT_CAINFO, $0) } ?? true)
      && qwen_sft_curl_set_list(easy, CURLOPT_HTTPHEADER, fields) == CURLE_OK
      && qwen_sft_curl_set_error_buffer(easy, errorText) == CURLE_OK
      && qwen_sft_curl_set_receivers(
        easy, CurlExchange.takeHeader, CurlExchange.takeBody,
        Unmanaged.passUnretained(exchange).toOpaque()) == CURLE_OK
  }

  /// What a result of libcurl means.
  private func setback(_ result: Int32, host: String) -> Setback {
    let code = CURLcode(rawValue: UInt32(bitPattern: result))
    let detail = String(cString: errorText)
    let words =
      detail.isEmpty ? (curl_easy_strerror(code).map { String(cString: $0) } ?? "?") : detail
    switch code {
    case CURLE_PEER_FAILED_VERIFICATION, CURLE_SSL_CACERT_BADFILE, CURLE_SSL_ISSUER_ERROR:
      // A certificate does not get better from asking again.
      return .final(
        .response(
          subject: host,
          problem: "its certificate is not accepted: \(words) (is the clock right, is the package "
            + "ca-certificates installed, does SSL_CERT_FILE name the right file?)"))
    case CURLE_COULDNT_RESOLVE_HOST, CURLE_COULDNT_RESOLVE_PROXY, CURLE_COULDNT_CONNECT:
      return .unreachable(problem: "\(host): \(words)")
    case CURLE_PARTIAL_FILE, CURLE_RECV_ERROR, CURLE_GOT_NOTHING:
      return .transient(
        problem: "\(host): the connection was cut (\(words))", retryAfterSeconds: nil)
    default:
      return .transient(problem: "\(host): \(words)", retryAfterSeconds: nil)
    }
  }

  /// `seconds` without a useless fraction.
  private static func text(_ seconds: Double) -> String {
    seconds == seconds.rounded() ? "\(Int(seconds))" : "\(seconds)"
  }
}
