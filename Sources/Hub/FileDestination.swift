// Where files of a repository go.

import Files

/// A place for the files of a commit.
protocol FileDestination: Sendable {
  /// The folder that users see.
  var folder: String { get }
  /// Whether the file is here and whole.
  func isPresent(_ file: HubFile) -> Bool
  /// Makes the folders that the file needs.
  func prepare(_ file: HubFile, _ content: ContentID) throws(FileError)
  /// The lock of whoever fetches the file.
  func lockPath(_ file: HubFile, _ content: ContentID) -> String
  /// Where its bytes are gathered.
  func partialPath(_ file: HubFile, _ content: ContentID) -> String
  /// Takes over the content from elsewhere on this machine; whether there was any.
  func adopt(_ file: HubFile, _ content: ContentID) throws(FileError) -> Bool
  /// Takes over the gathered bytes, which are right.
  func publish(_ partial: PartialFile, _ file: HubFile, _ content: ContentID) throws(FileError)
}

/// Whether a file of the wanted size is at `path`.
func isFile(_ path: String, of byteCount: Int?) -> Bool {
  guard FileSystem.kind(of: path) == .file else { return false }
  guard let byteCount else { return true }
  return (try? FileSystem.byteCount(of: path)) == byteCount
}

/// A commit in the cache.
struct CacheDestination: FileDestination {
  let cache: HubCache
  let repository: RepositoryName
  let commit: String

  var folder: String { cache.snapshot(repository, commit: commit) }

  func isPresent(_ file: HubFile) -> Bool {
    isFile(FileSystem.join(folder, file.path), of: file.byteCount)
  }

  func prepare(_ file: HubFile, _ content: ContentID) throws(FileError) {
    try FileSystem.makeFolder(FileSystem.parent(of: FileSystem.join(folder, file.path)))
    try FileSystem.makeFolder(FileSystem.parent(of: cache.blob(repository, content)))
    try FileSystem.makeFolder(FileSystem.parent(of: cache.lock(repository, content)))
  }

  func lockPath(_ file: HubFile, _ content: ContentID) -> String { cache.lock(repository, content) }

  func partialPath(_ file: HubFile, _ content: ContentID) -> String {
    cache.blob(repository, content) + ".incomplete"
  }

  func adopt(_ file: HubFile, _ content: ContentID) throws(FileError) -> Bool {
    guard isFile(cache.blob(repository, content), of: file.byteCount) else { return false }
    try link(file, content)
    return true
  }

  func publish(_ partial: PartialFile, _ file: HubFile, _ content: ContentID) throws(FileError) {
    try partial.publish(as: cache.blob(repository, content))
    try link(file, content)
  }

  private func link(_ file: HubFile, _ content: ContentID) throws(FileError) {
    let depth = 2 + file.path.utf8.count { $0 == 0x2F }
    let target = String(repeating: "../", count: depth) + "blobs/\(content.name)"
    let path = FileSystem.join(folder, file.path)
    if FileSystem.linkTarget(of: path) == target { return }
    try FileSystem.makeLink(at: path, to: target)
  }
}
