// The folder of shared test data, which is not part of the repository.

import Files
import Testing

#if canImport(Glibc)
  import Glibc
#else
  import Darwin
#endif

enum SharedData {
  /// `QWEN_SFT_SHARED`, else `shared` beside the package root.
  static let folder: String = {
    if let value = getenv("QWEN_SFT_SHARED") { return String(cString: value) }
    var root = #filePath
    for _ in 0..<3 { root = FileSystem.parent(of: root) }
    return FileSystem.join(FileSystem.parent(of: root), "shared")
  }()

  static let isThere = FileSystem.kind(of: FileSystem.join(folder, "data")) == .folder

  static let hint: Comment = "needs the shared test data: set QWEN_SFT_SHARED to its folder"
}
