// Names of revisions, as git allows them and as safe parts of a path.

/// A branch, a tag or a commit.
package struct Revision: Sendable, Hashable, CustomStringConvertible {
  /// The text.
  package let description: String

  /// The branch that is taken unless told.
  package static let main = Revision(unchecked: "main")

  private init(unchecked text: String) { description = text }

  /// The revision called `text`.
  ///
  /// - Throws: ``HubError/invalidRevision(_:)`` where git has no such names.
  package init(_ text: String) throws(HubError) {
    let parts = text.utf8.split(separator: 0x2F, omittingEmptySubsequences: false)
    let isPlain = parts.allSatisfy { part in
      guard let first = part.first, let last = part.last else { return false }
      return first != 0x2E && first != 0x2D && last != 0x2E
        && part.allSatisfy { $0 > 0x20 && $0 != 0x7F && !"~^:?*[\\".utf8.contains($0) }
    }
    guard isPlain, text.utf8.count <= 200, !text.contains("..") else {
      throw .invalidRevision(text)
    }
    description = text
  }

  /// Whether it is a whole commit, which never changes.
  package var isCommit: Bool {
    description.utf8.count == 40 && description.utf8.allSatisfy(isLowerHexDigit)
  }
}

/// Whether `text` may name a commit in a path: letters and digits.
func isCommitName(_ text: String) -> Bool {
  (1...64).contains(text.utf8.count) && text.utf8.allSatisfy(isLetterOrDigit)
}
