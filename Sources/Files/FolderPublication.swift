// Folders that appear whole or not at all: filled under a temporary name beside the destination, brought to
// the device, renamed.

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// A folder being filled, which appears at its path with ``publish(replacing:)`` and not before.
///
/// Without a publication nothing is left behind: the temporary folder goes when the object does. Its name
/// begins with `.partial-` and never contains the destination's name.
public final class FolderPublication {
  /// Where the folder will appear.
  public let path: String
  /// The folder to fill.
  public let temporaryPath: String
  private var isPublished = false

  /// Makes an empty temporary folder beside `path`, whose parent folders are made where missing.
  public init(path: String) throws(FileError) {
    try checkPath(path)
    self.path = path
    let parent = FileSystem.parent(of: path)
    try FileSystem.makeFolder(parent)
    temporaryPath = FileSystem.join(
      parent, FileSystem.temporaryName(prefix: AtomicFile.temporaryPrefix))
    guard mkdir(temporaryPath, 0o777) == 0 else { throw .last("make the folder", path) }
  }

  /// What the name of a folder that steps aside for a new one begins with; the name that it had follows.
  private static let replacedPrefix = ".replaced-"

  /// Where the folder at `path` steps aside for a new one.
  private static func replacedPath(of path: String) -> String {
    FileSystem.join(FileSystem.parent(of: path), replacedPrefix + FileSystem.name(of: path))
  }

  /// Puts back the folder that had stepped aside from `path` when a process was killed, where nothing has taken its place.
  /// Nobody else may be publishing there.
  public static func restoreReplaced(at path: String) throws(FileError) {
    guard FileSystem.kind(of: path) == nil else { return }
    let old = replacedPath(of: path)
    if FileSystem.kind(of: old) == .folder { try FileSystem.rename(old, to: path) }
  }

  /// Puts back the folders that had stepped aside when a process was killed, where nothing has taken their place. Nobody
  /// else may be publishing in `parent`.
  public static func restoreReplaced(in parent: String) throws(FileError) {
    guard FileSystem.kind(of: parent) == .folder else { return }
    for entry in try FileSystem.list(parent)
    where entry.kind == .folder && entry.name.utf8.starts(with: replacedPrefix.utf8) {
      let name = String(
        decoding: entry.name.utf8.dropFirst(replacedPrefix.utf8.count), as: UTF8.self)
      let path = FileSystem.join(parent, name)
      if !name.isEmpty && FileSystem.kind(of: path) == nil {
        try FileSystem.rename(FileSystem.join(parent, entry.name), to: path)
      }
    }
  }

  /// Removes the temporary files and folders that processes which were killed have left in `parent`, after
  /// ``restoreReplaced(in:)``. Nobody else may be publishing there.
  public static func removeLeftovers(in parent: String) throws(FileError) {
    try restoreReplaced(in: parent)
    for entry in try FileSystem.list(parent) where entry.kind != .other {
      let isReplaced =
        entry.kind == .folder && entry.name.utf8.starts(with: replacedPrefix.utf8)
      if isReplaced || entry.name.utf8.starts(with: AtomicFile.temporaryPrefix.utf8) {
        try FileSystem.remove(FileSystem.join(parent, entry.name))
      }
    }
  }

  deinit {
    if !isPublished { try? FileSystem.remove(temporaryPath) }
  }

  /// Makes the folder appear at its path: everything is on the device when this returns.
  ///
  /// What is at the path already is an error, or with `replacing` is exchanged for the new folder and
  /// removed.
  public func publish(replacing: Bool = false) throws(FileError) {
    precondition(!isPublished, "FolderPublication: second publication of \(path)")
    try FileSystem.synchronizeTree(temporaryPath)
    let parent = FileSystem.parent(of: path)
    if FileSystem.kind(of: path) == nil {
      guard systemRename(temporaryPath, path) == 0 else { throw .last("rename to", path) }
      isPublished = true
    } else if replacing {
      // The old one steps aside: a crash between the two renames leaves both folders whole, and this one is put back
      // by `restoreReplaced`.
      let old = Self.replacedPath(of: path)
      try FileSystem.remove(old)
      guard systemRename(path, old) == 0 else { throw .last("replace", path) }
      guard systemRename(temporaryPath, path) == 0 else {
        let error = FileError.last("rename to", path)
        _ = systemRename(old, path)
        throw error
      }
      isPublished = true
      try FileSystem.synchronizeFolder(parent)
      try FileSystem.remove(old)
    } else {
      throw .alreadyExists(path: path)
    }
    try FileSystem.synchronizeFolder(parent)
  }
}
