// Addresses on the web, cut into the parts that decide who may see a token.

import FoundationEssentials

/// An absolute http or https address.
package struct WebAddress: Sendable, Hashable, CustomStringConvertible {
  /// The whole address.
  package let description: String
  /// "http" or "https".
  package let scheme: String
  /// The host in small letters.
  package let host: String
  /// The port, that of the scheme where none is given.
  package let port: Int

  /// The address that `text` is, seen from `base`; nil where it is none, or one with a name and a password.
  package init?(_ text: String, relativeTo base: WebAddress? = nil) {
    guard !text.isEmpty, text.utf8.count <= 16_384,
      text.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F && $0 != 0x5C })
    else { return nil }
    let baseURL = base.flatMap { URL(string: $0.description) }
    guard let url = URL(string: text, relativeTo: baseURL)?.absoluteURL,
      let scheme = url.scheme?.lowercased(), scheme == "http" || scheme == "https",
      let host = url.host()?.lowercased(), !host.isEmpty, url.user() == nil, url.password() == nil
    else { return nil }
    let port = url.port ?? (scheme == "https" ? 443 : 80)
    guard (1...65_535).contains(port) else { return nil }
    description = url.absoluteString
    (self.scheme, self.host, self.port) = (scheme, host, port)
  }

  /// Whether the connection is encrypted.
  package var isSecure: Bool { scheme == "https" }

  /// Whether the host is this machine.
  package var isLoopback: Bool {
    if host == "localhost" || host == "::1" || host == "[::1]" { return true }
    let parts = host.split(separator: ".", omittingEmptySubsequences: false)
    return parts.first == "127" && parts.count == 4 && parts.allSatisfy { UInt8($0) != nil }
  }

  /// Whether both are served by the same program, as far as addresses tell.
  package func hasSameOrigin(as other: WebAddress) -> Bool {
    scheme == other.scheme && host == other.host && port == other.port
  }

  /// `text` with everything but letters, digits, `-._~` and the bytes of `kept` as `%XX`.
  package static func percentEncoded(_ text: String, keeping kept: String = "") -> String {
    let digits = Array("0123456789ABCDEF".utf8)
    var bytes: [UInt8] = []
    for byte in text.utf8 {
      if isLetterOrDigit(byte) || "-._~".utf8.contains(byte) || kept.utf8.contains(byte) {
        bytes.append(byte)
      } else {
        bytes += [0x25, digits[Int(byte >> 4)], digits[Int(byte & 15)]]
      }
    }
    return String(decoding: bytes, as: UTF8.self)
  }
}
