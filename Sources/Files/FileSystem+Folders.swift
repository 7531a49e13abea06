// Making, listing, copying, renaming and removing.

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

extension FileSystem {
  /// An entry of a folder.
  public struct Entry: Sendable, Hashable {
    /// The name, without the folder.
    public let name: String
    /// What it is, links followed.
    public let kind: Kind
  }

  /// The entries of a folder without "." and "..", in the order of their bytes.
  public static func list(_ path: String) throws(FileError) -> [Entry] {
    var entries: [Entry] = []
    for name in try names(in: path) {
      entries.append(Entry(name: name, kind: kind(of: join(path, name)) ?? .other))
    }
    return entries
  }

  /// Makes the folder `path` and those above it; a folder that is there is fine.
  public static func makeFolder(_ path: String) throws(FileError) {
    try checkPath(path)
    var missing: [String] = []
    var folder = path
    while kind(of: folder) == nil {
      missing.append(folder)
      let above = parent(of: folder)
      if above == folder { break }
      folder = above
    }
    for folder in missing.reversed() {
      // Another process may be making the same folder.
      guard mkdir(folder, 0o777) == 0 || (errno == EEXIST && kind(of: folder) == .folder) else {
        throw .last("make the folder", folder)
      }
    }
    guard kind(of: path) == .folder else {
      throw .system(operation: "make the folder", path: path, code: ENOTDIR)
    }
  }

  /// Removes a file, a link, or a folder with all it holds; links inside are removed, not followed. Nothing
  /// at the path is fine.
  public static func remove(_ path: String) throws(FileError) {
    try checkPath(path)
    var status = stat()
    guard lstat(path, &status) == 0 else {
      if errno == ENOENT { return }
      throw .last("remove", path)
    }
    if Kind(mode: status.st_mode) == .folder {
      for name in try names(in: path) { try remove(join(path, name)) }
      guard rmdir(path) == 0 || errno == ENOENT else { throw .last("remove", path) }
    } else {
      guard unlink(path) == 0 || errno == ENOENT else { throw .last("remove", path) }
    }
  }

  /// Renames within one file system, replacing a file (or an empty folder by a folder), and brings both
  /// folders to the device.
  public static func rename(_ path: String, to destination: String) throws(FileError) {
    try checkPath(path)
    try checkPath(destination)
    guard systemRename(path, destination) == 0 else {
      throw .last("rename to \(destination)", path)
    }
    try synchronizeFolder(parent(of: destination))
    if parent(of: path) != parent(of: destination) { try synchronizeFolder(parent(of: path)) }
  }

  /// Copies the content of a file; the copy appears whole.
  public static func copyFile(_ path: String, to destination: String) throws(FileError) {
    let source = try Descriptor(opening: path, flags: O_RDONLY)
    guard try Kind(mode: source.status().st_mode) == .file else {
      throw .notARegularFile(path: path)
    }
    let target = try AtomicFile(path: destination)
    var buffer = [UInt8](repeating: 0, count: 1 << 20)
    while true {
      let count = try source.read(into: &buffer)
      if count == 0 { break }
      try target.write(buffer.span.extracting(first: count).bytes)
    }
    try target.commit()
  }

  /// Copies a folder with all it holds, links followed; it appears whole. Something at the destination is an
  /// error.
  public static func copyFolder(_ path: String, to destination: String) throws(FileError) {
    let publication = try FolderPublication(path: destination)
    try copyContents(of: path, into: publication.temporaryPath, depth: 0)
    try publication.publish()
  }

  /// Copies a file or a folder where there is one at `path`, as the two methods above do.
  public static func copyIfPresent(_ path: String, to destination: String) throws(FileError) {
    switch kind(of: path) {
    case .file: try copyFile(path, to: destination)
    case .folder: try copyFolder(path, to: destination)
    case .other, nil: break
    }
  }

  private static func copyContents(of path: String, into folder: String, depth: Int)
    throws(FileError)
  {
    // Links may lead in a circle.
    guard depth < 64 else { throw .system(operation: "copy", path: path, code: ELOOP) }
    for entry in try list(path) {
      let (source, target) = (join(path, entry.name), join(folder, entry.name))
      switch entry.kind {
      case .file: try copyFile(source, to: target)
      case .folder:
        try makeFolder(target)
        try copyContents(of: source, into: target, depth: depth + 1)
      case .other: throw .notARegularFile(path: source)
      }
    }
  }

  /// The names in a folder without "." and "..", in the order of their bytes.
  static func names(in path: String) throws(FileError) -> [String] {
    try checkPath(path)
    guard let directory = opendir(path) else { throw .last("list", path) }
    defer { closedir(directory) }
    var names: [String] = []
    while true {
      errno = 0
      guard let entry = readdir(directory) else {
        if errno != 0 { throw .last("list", path) }
        break
      }
      let name = withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
        String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
      }
      if name != ".", name != ".." { names.append(name) }
    }
    return names.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
  }

  /// Brings the entries of a folder to the device.
  static func synchronizeFolder(_ path: String) throws(FileError) {
    try Descriptor(opening: path, flags: O_RDONLY | O_DIRECTORY).synchronize()
  }

  /// Brings a file, or a folder with all it holds, to the device.
  static func synchronizeTree(_ path: String) throws(FileError) {
    for entry in try list(path) {
      let inner = join(path, entry.name)
      switch entry.kind {
      case .folder: try synchronizeTree(inner)
      case .file: try Descriptor(opening: inner, flags: O_RDONLY).synchronize()
      case .other: break
      }
    }
    try synchronizeFolder(path)
  }
}

// The methods above hide the function of the C library.
func systemRename(_ path: String, _ destination: String) -> Int32 { rename(path, destination) }
