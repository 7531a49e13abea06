// Who may ask: the key, and pages of other sites that a browser would let reach a server on this machine.

import Hummingbird
import HTTPTypes

/// Decides before anything else is looked at.
struct AccessGuard: Sendable {
  private let options: ServerOptions
  private let key: [UInt8]?

  init(_ options: ServerOptions) {
    self.options = options
    key = options.apiKey.map { Array($0.utf8) }
  }

  /// - Throws: ``APIError`` with status 403 for a name that is not this server's or a page of another site.
  func checkOrigin(_ request: Request) throws(APIError) {
    let authority = request.head.authority ?? ""
    // A name that somebody else let point here (DNS rebinding) arrives as the host.
    guard isOwn(Self.host(of: authority)) else {
      throw forbidden(
        "host \"\(authority.prefix(100))\" is not this server's (allow it with --allowed_host)")
    }
    guard let origin = request.headers[.origin] else { return }
    guard origin == "http://" + authority || origin == "https://" + authority else {
      throw forbidden("pages of \(origin.prefix(100)) may not use this server")
    }
  }

  /// - Throws: ``APIError`` with status 401 without the key.
  func checkKey(_ request: Request) throws(APIError) {
    guard let key else { return }
    let prefix = Array("Bearer ".utf8)
    let given = Array((request.headers[.authorization] ?? "").utf8)
    let isBearer = given.starts(with: prefix)
    guard Self.isEqual(isBearer ? Array(given.dropFirst(prefix.count)) : [], key), isBearer else {
      throw APIError(
        status: 401, type: "invalid_request_error",
        message: "the API key is missing or wrong (Authorization: Bearer KEY)",
        code: "invalid_api_key", closesConnection: true)
    }
  }

  /// Compares in a time that depends on the length of `given` alone.
  static func isEqual(_ given: [UInt8], _ key: [UInt8]) -> Bool {
    var difference: UInt8 = given.count == key.count ? 0 : 1
    for (index, byte) in given.enumerated() {
      difference |= byte ^ (key.isEmpty ? 0xFF : key[index % key.count])
    }
    return difference == 0
  }

  private func isOwn(_ host: String) -> Bool {
    if ServerOptions.isLoopback(host) || host == options.host.lowercased() { return true }
    if options.allowedHosts.contains(where: { $0.lowercased() == host }) { return true }
    // Addresses cannot be rebound, and a page of another site does not know the key; on loopback there are no others.
    return !options.isLoopback
      && (key != nil || ServerOptions.isIPv4(host) || host.hasPrefix("["))
  }

  /// The host of "host:port" in small letters, brackets of IPv6 included.
  static func host(of authority: String) -> String {
    let text = authority.lowercased()
    if text.hasPrefix("["), let end = text.firstIndex(of: "]") { return String(text[...end]) }
    return String(text.prefix { $0 != ":" })
  }

  private func forbidden(_ message: String) -> APIError {
    APIError(
      status: 403, type: "invalid_request_error", message: message, code: "forbidden",
      closesConnection: true)
  }
}
