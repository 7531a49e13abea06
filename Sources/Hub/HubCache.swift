// The cache that huggingface_hub and this program share:
//
//   models--OWNER--NAME/blobs/ETAG               contents, by what they are called
//   models--OWNER--NAME/snapshots/COMMIT/PATH    links to them: ../../blobs/ETAG
//   models--OWNER--NAME/refs/REVISION            the commit that a branch or tag was last seen at
//   models--OWNER--NAME/.no_exist/COMMIT/PATH    empty: the repository has no such file
//   .locks/models--OWNER--NAME/ETAG.lock         held by whoever fetches it

import Files

/// Places in a cache.
package struct HubCache: Sendable {
  /// The folder of repositories.
  package let root: String

  /// The cache in `root`.
  package init(_ root: String) { self.root = root }

  /// The folder of a repository.
  package func folder(_ repository: RepositoryName) -> String {
    FileSystem.join(root, repository.folderName)
  }

  /// The folder of a commit.
  package func snapshot(_ repository: RepositoryName, commit: String) -> String {
    FileSystem.join(folder(repository), "snapshots/\(commit)")
  }

  /// The file with a content.
  package func blob(_ repository: RepositoryName, _ content: ContentID) -> String {
    FileSystem.join(folder(repository), "blobs/\(content.name)")
  }

  /// The lock of a content.
  package func lock(_ repository: RepositoryName, _ content: ContentID) -> String {
    FileSystem.join(root, ".locks/\(repository.folderName)/\(content.name).lock")
  }

  /// The commit that `revision` was last seen at; nil where it was not.
  package func commit(_ repository: RepositoryName, _ revision: Revision) throws(HubError)
    -> String?
  {
    let path = reference(repository, revision)
    guard FileSystem.kind(of: path) == .file else {
      return revision.isCommit ? revision.description : nil
    }
    let text: String
    do throws(FileError) { text = try FileSystem.readText(path, maximumByteCount: 4096) } catch {
      throw .file(error)
    }
    var name = Substring(text)
    while let last = name.last, last.isWhitespace { name.removeLast() }
    return isCommitName(String(name)) ? String(name) : nil
  }

  /// The folder of `revision` where it is here with all that is needed; nil where it is not.
  package func snapshot(
    _ repository: RepositoryName, _ revision: Revision, need: ModelNeed
  ) throws(HubError) -> String? {
    guard let commit = try commit(repository, revision) else { return nil }
    let folder = snapshot(repository, commit: commit)
    return need.isMet(in: folder) ? folder : nil
  }

  /// Notes that `revision` is at `commit`.
  func note(_ repository: RepositoryName, _ revision: Revision, at commit: String) throws(HubError)
  {
    guard revision.description != commit else { return }
    let path = reference(repository, revision)
    if try self.commit(repository, revision) == commit, FileSystem.kind(of: path) == .file {
      return
    }
    do throws(FileError) {
      try FileSystem.makeFolder(FileSystem.parent(of: path))
      try AtomicFile.write(commit, to: path)
    } catch { throw .file(error) }
  }

  /// Notes that the repository has no files of these names, which spares huggingface_hub a question.
  func note(_ repository: RepositoryName, commit: String, without names: [String]) {
    let folder = FileSystem.join(folder(repository), ".no_exist/\(commit)")
    for name in names {
      let path = FileSystem.join(folder, name)
      guard FileSystem.kind(of: path) == nil else { continue }
      // A note that cannot be made costs a question, no more.
      try? FileSystem.makeFolder(FileSystem.parent(of: path))
      try? AtomicFile.write([], to: path)
    }
  }

  private func reference(_ repository: RepositoryName, _ revision: Revision) -> String {
    FileSystem.join(folder(repository), "refs/\(revision)")
  }

  /// Marks `folder` as one that backups can leave out.
  static func tag(_ folder: String) {
    let path = FileSystem.join(folder, "CACHEDIR.TAG")
    guard FileSystem.kind(of: path) == nil else { return }
    try? FileSystem.makeFolder(folder)
    try? AtomicFile.write(
      """
      Signature: 8a477f597d28d172789f06886806bc55
      # This file is a cache directory tag created by qwen-sft.
      # For information about cache directory tags, see:
      #\thttps://bford.info/cachedir/

      """, to: path)
  }
}
