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
    temporaryPath = FileSystem.join(parent, FileSystem.temporaryName(prefix: ".partial-"))
    guard mkdir(temporaryPath, 0o777) == 0 else { throw .last("make the folder", path) }
  }

  /// Removes the temporary folders that processes which were killed have left in `parent`. Nobody else may be
  /// publishing there.
  public static func removeLeftovers(in parent: String) throws(FileError) {
    for entry in try FileSystem.list(parent) where entry.kind == .folder {
      let name = entry.name.utf8
      if name.starts(with: ".partial-".utf8) || name.starts(with: ".replaced-".utf8) {
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
      // The old one steps aside: a crash between the two renames leaves both folders whole.
      let old = FileSystem.join(parent, FileSystem.temporaryName(prefix: ".replaced-"))
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
