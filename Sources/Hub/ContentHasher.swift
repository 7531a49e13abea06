// Taking digests of what arrives.

import Crypto
import Files
import FoundationEssentials

/// The digest of bytes that come in pieces, of the kind that a ``ContentID`` has.
struct ContentHasher {
  private var sha256 = SHA256()
  private let id: ContentID

  init(_ id: ContentID) { self.id = id }

  /// Starts anew.
  mutating func reset() { sha256 = SHA256() }

  /// Takes the next bytes. Git's digest begins with the size, so that it waits for the end.
  mutating func update(_ bytes: [UInt8]) {
    if case .sha256 = id { sha256.update(data: bytes) }
  }

  /// What the bytes of `file`, which were all given to ``update(_:)``, are called.
  func found(in file: PartialFile) throws(HubError) -> ContentID {
    switch id {
    case .opaque: return id
    case .sha256: return .sha256(hexadecimal(sha256.finalize()))
    case .gitSHA1:
      var sha1 = Insecure.SHA1()
      sha1.update(data: Array("blob \(file.byteCount)\0".utf8))
      try file.forEachPiece { (piece) throws(HubError) in
        sha1.update(data: piece)
      } failure: {
        .file($0)
      }
      return .gitSHA1(hexadecimal(sha1.finalize()))
    }
  }
}

/// `bytes` in lower-case hexadecimal.
func hexadecimal(_ bytes: some Sequence<UInt8>) -> String {
  let digits = Array("0123456789abcdef".utf8)
  return String(
    decoding: bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
}
