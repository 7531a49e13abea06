// A file of a repository, as the server describes it: nothing of it is believed before it is checked.

/// A file of a repository.
package struct HubFile: Sendable, Hashable {
  /// The path in the repository, checked: relative, without `..`, safe to write below a folder.
  package let path: String
  /// The size in bytes; nil where the server did not say.
  package var byteCount: Int?
  /// What its content is called; nil where the server did not say.
  package var content: ContentID?

  /// The most bytes that a file is believed to have.
  static let maximumByteCount = 1 << 50

  /// A file of the given description, its path already checked.
  package init(path: String, byteCount: Int? = nil, content: ContentID? = nil) {
    (self.path, self.byteCount, self.content) = (path, byteCount, content)
  }

  /// Why a file must not be called `path`, nil where it may.
  package static func problem(withPath path: String) -> String? {
    if path.isEmpty { return "it has no name" }
    if path.utf8.count > 1024 { return "the name is too long" }
    if path.utf8.contains(where: { $0 < 0x20 || $0 == 0x7F }) {
      return "the name has control characters"
    }
    if path.utf8.contains(0x5C) { return "the name has a backslash" }
    if path.utf8.first == 0x2F { return "the path is absolute" }
    for part in path.utf8.split(separator: 0x2F, omittingEmptySubsequences: false) {
      let name = String(decoding: part, as: UTF8.self)
      if name.isEmpty { return "a part of the path is empty" }
      if part.count > 240 { return "the name is too long" }
      if name == "." || name == ".." { return "the path leads out of the folder" }
      if part.count >= 2, part.dropFirst().first == 0x3A { return "the path names a drive" }
      // A folder that is a git repository would run what is written there.
      if name.lowercased() == ".git" { return "the path leads into .git" }
    }
    return nil
  }
}
