// What the hub calls the content of a file: its ETag, which for all that the hub keeps is a digest.

/// The name of a content.
package enum ContentID: Sendable, Hashable {
  /// The SHA-256 of the bytes, in hexadecimal: large files.
  case sha256(String)
  /// The SHA-1 of git's object, in hexadecimal: small files.
  case gitSHA1(String)
  /// A name that says nothing about the bytes.
  case opaque(String)

  /// What an `ETag` header says; nil where it is no name that a file can have.
  package init?(etag: String) {
    var text = Substring(etag)
    while let first = text.first, first == "W" || first == "/" { text.removeFirst() }
    while text.first == "\"" { text.removeFirst() }
    while text.last == "\"" { text.removeLast() }
    self.init(name: String(text))
  }

  /// The content called `name`; nil where it is no name that a file can have.
  package init?(name: String) {
    let isHexadecimal = name.utf8.allSatisfy(isLowerHexDigit)
    if isHexadecimal, name.utf8.count == 64 {
      self = .sha256(name)
    } else if isHexadecimal, name.utf8.count == 40 {
      self = .gitSHA1(name)
    } else {
      let isPlain = name.utf8.allSatisfy {
        isLetterOrDigit($0) || $0 == 0x2D || $0 == 0x5F || $0 == 0x2E || $0 == 0x3A
      }
      guard isPlain, (1...128).contains(name.utf8.count), name.utf8.first != 0x2E else {
        return nil
      }
      self = .opaque(name)
    }
  }

  /// The name, which is that of the file in the cache.
  package var name: String {
    switch self {
    case .sha256(let name), .gitSHA1(let name), .opaque(let name): name
    }
  }

  /// Whether bytes can be held against it.
  package var isVerifiable: Bool { if case .opaque = self { false } else { true } }

  /// The kind and the name, for messages.
  var summary: String {
    switch self {
    case .sha256(let name): "SHA-256 \(name)"
    case .gitSHA1(let name): "git SHA-1 \(name)"
    case .opaque(let name): "ETag \(name)"
    }
  }
}
