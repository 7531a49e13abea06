// The chat page: one file inside the program, which may load nothing and talk to nobody but this server.

import Crypto
import HTTPTypes
import Hummingbird
import NIOCore
import ServeAssets

/// The page at `/`.
struct Page: Sendable {
  private let bytes: [UInt8]
  private let policy: String

  /// The page as it was built in, with a policy that allows its own script and style and no others.
  init() {
    bytes = Array(UnsafeRawBufferPointer(start: serve_page(), count: serve_page_byte_count()))
    policy =
      "default-src 'none'; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; "
      + "frame-ancestors 'none'; script-src '\(Self.digest(of: "script", in: bytes))'; "
      + "style-src '\(Self.digest(of: "style", in: bytes))'"
  }

  /// The page as a response.
  func response() -> Response {
    var response = Responder.response(.ok, "text/html; charset=utf-8", bytes)
    response.headers[.contentSecurityPolicy] = policy
    response.headers[.cacheControl] = "no-cache"
    if let name = HTTPField.Name("Referrer-Policy") { response.headers[name] = "no-referrer" }
    return response
  }

  /// The digest of what stands in the only element `name`, as such policies have it.
  private static func digest(of name: String, in bytes: [UInt8]) -> String {
    let page = bytes[...]
    let (start, end) = (Array("<\(name)>".utf8), Array("</\(name)>".utf8))
    guard let from = place(of: start, in: page), let to = place(of: end, in: page[from...]) else {
      return "none"
    }
    return "sha256-" + base64(Array(SHA256.hash(data: page[(from + start.count)..<to])))
  }

  private static func place(of part: [UInt8], in bytes: ArraySlice<UInt8>) -> Int? {
    bytes.indices.first { bytes[$0...].starts(with: part) }
  }

  /// RFC 4648.
  static func base64(_ bytes: [UInt8]) -> String {
    let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
    var text: [UInt8] = []
    for start in stride(from: 0, to: bytes.count, by: 3) {
      let group = bytes[start..<min(start + 3, bytes.count)]
      let padded = Array(group) + [UInt8](repeating: 0, count: 3 - group.count)
      let value = UInt32(padded[0]) << 16 | UInt32(padded[1]) << 8 | UInt32(padded[2])
      for index in 0..<4 {
        text.append(
          index <= group.count
            ? alphabet[Int(value >> UInt32(18 - 6 * index) & 63)] : UInt8(ascii: "="))
      }
    }
    return String(decoding: text, as: UTF8.self)
  }
}
