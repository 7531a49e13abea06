// A folder for a result that appears whole, and never in the place of what it is made of.

import Files

/// Where a folder is to appear.
struct OutputFolder {
  private let path: String
  /// Whether something at the path gives way.
  let replaces: Bool

  /// A place at `path`, which may be nothing, an empty folder, or with `isReplacing` any folder that holds none of
  /// `sources`.
  init(_ path: String, isReplacing: Bool, apartFrom sources: [String]) throws(CLIError) {
    self.path = path
    let own = FileSystem.canonicalPath(path)
    for source in sources {
      guard let own, let other = FileSystem.canonicalPath(source) else { continue }
      if other == own || other.utf8.starts(with: (own == "/" ? own : own + "/").utf8) {
        throw .argument(
          option: "output_dir", problem: "\(path) holds \(source), which is read (choose another)")
      }
    }
    // What a process that was killed while it replaced the folder has left beside it.
    do throws(FileError) { try FolderPublication.restoreReplaced(at: path) } catch {
      throw .file(error)
    }
    switch FileSystem.kind(of: path) {
    case nil: replaces = false
    case .folder?:
      let isEmpty: Bool
      do throws(FileError) { isEmpty = try FileSystem.list(path).isEmpty } catch {
        throw .file(error)
      }
      guard isEmpty || isReplacing else {
        throw .argument(
          option: "output_dir",
          problem: "\(path) is not empty (choose another, or give --overwrite_output_dir)")
      }
      replaces = true
    default:
      throw .argument(option: "output_dir", problem: "\(path) is a file, expected a folder")
    }
  }

  /// The folder to fill, in a temporary place.
  func publication() throws(CLIError) -> FolderPublication {
    do throws(FileError) { return try FolderPublication(path: path) } catch { throw .file(error) }
  }
}
