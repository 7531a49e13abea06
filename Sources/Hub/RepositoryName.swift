// Names of repositories as the hub allows them and as safe parts of a path.

/// The name of a model repository: `model` or `owner/model`.
package struct RepositoryName: Sendable, Hashable, CustomStringConvertible {
  /// The name.
  package let description: String

  /// The repository called `name`.
  ///
  /// - Throws: ``HubError/invalidName(_:)`` where no repository can be called so.
  package init(_ name: String) throws(HubError) {
    let parts = name.utf8.split(separator: 0x2F, omittingEmptySubsequences: false)
    guard (1...2).contains(parts.count), name.utf8.count <= 96, !name.contains("--"),
      !name.contains("..")
    else { throw .invalidName(name) }
    let isPlain = parts.allSatisfy { part in
      guard let first = part.first, let last = part.last else { return false }
      return part.allSatisfy { isLetterOrDigit($0) || $0 == 0x2D || $0 == 0x2E || $0 == 0x5F }
        && first != 0x2D && first != 0x2E && last != 0x2D && last != 0x2E
    }
    guard isPlain else { throw .invalidName(name) }
    description = name
  }

  /// The name of its folder in the cache, such as `models--Qwen--Qwen3-4B`.
  package var folderName: String {
    "models--" + description.split(separator: "/").joined(separator: "--")
  }
}

func isLetterOrDigit(_ byte: UInt8) -> Bool {
  isDigit(byte) || (0x41...0x5A).contains(byte) || (0x61...0x7A).contains(byte)
}

func isDigit(_ byte: UInt8) -> Bool { (0x30...0x39).contains(byte) }

func isLowerHexDigit(_ byte: UInt8) -> Bool { isDigit(byte) || (0x61...0x66).contains(byte) }
