// Reading whole files, and paths. Paths are POSIX strings; nothing here expands "~" or variables.

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// Operations on files and folders by path.
public enum FileSystem {
  /// What is at a path.
  public enum Kind: Sendable, Hashable {
    /// A regular file.
    case file
    /// A folder.
    case folder
    /// A pipe, a device or a socket; for ``FileSystem/list(_:)`` also a link to nothing.
    case other
  }

  /// The largest file that ``readFile(_:maximumByteCount:)`` takes unless told: 1 GiB.
  public static let defaultMaximumByteCount = 1 << 30

  /// The bytes of a regular file; more than `maximumByteCount` is an error. Pipes and devices, which may have no end
  /// or keep us waiting, are refused.
  public static func readFile(
    _ path: String, maximumByteCount: Int = FileSystem.defaultMaximumByteCount
  ) throws(FileError) -> [UInt8] {
    let descriptor = try Descriptor(opening: path, flags: O_RDONLY)
    let status = try descriptor.status()
    let size = Int(status.st_size)
    guard status.st_mode & S_IFMT == S_IFREG else { throw .notARegularFile(path: path) }
    guard size <= maximumByteCount else {
      throw .tooLarge(path: path, maximumByteCount: maximumByteCount)
    }
    // The size is a first guess only: files grow, and those of /proc have none.
    var bytes = [UInt8](repeating: 0, count: max(size + 1, 4096))
    var count = 0
    while true {
      if count == bytes.count {
        bytes.append(contentsOf: repeatElement(0, count: bytes.count))
      }
      let read = try descriptor.read(into: &bytes, from: count)
      if read == 0 { break }
      count += read
      guard count <= maximumByteCount else {
        throw .tooLarge(path: path, maximumByteCount: maximumByteCount)
      }
    }
    bytes.removeLast(bytes.count - count)
    return bytes
  }

  /// The text of a file, which must be UTF-8.
  public static func readText(
    _ path: String, maximumByteCount: Int = FileSystem.defaultMaximumByteCount
  ) throws(FileError) -> String {
    let bytes = try readFile(path, maximumByteCount: maximumByteCount)
    guard let text = String(validating: bytes, as: UTF8.self) else { throw .notUTF8(path: path) }
    return text
  }

  /// What is at `path`, links followed; nil where nothing is or it cannot be examined.
  public static func kind(of path: String) -> Kind? {
    var status = stat()
    guard (try? checkPath(path)) != nil, stat(path, &status) == 0 else { return nil }
    return Kind(mode: status.st_mode)
  }

  /// The size of the file at `path` in bytes.
  public static func byteCount(of path: String) throws(FileError) -> Int {
    try checkPath(path)
    var status = stat()
    guard stat(path, &status) == 0 else { throw .last("examine", path) }
    guard Kind(mode: status.st_mode) == .file else { throw .notARegularFile(path: path) }
    return Int(status.st_size)
  }

  // MARK: Paths

  /// `name` inside `folder`; `name` itself where it is absolute or `folder` is empty.
  public static func join(_ folder: String, _ name: String) -> String {
    if folder.isEmpty || name.utf8.first == 0x2F { return name }
    return folder.utf8.last == 0x2F ? folder + name : folder + "/" + name
  }

  /// The folder that holds `path`: "." for a bare name.
  public static func parent(of path: String) -> String {
    let trimmed = withoutTrailingSlashes(path)
    guard let slash = trimmed.utf8.lastIndex(of: 0x2F) else { return "." }
    let folder = withoutTrailingSlashes(String(trimmed[..<slash]))
    return folder.isEmpty ? "/" : folder
  }

  /// The last component of `path`.
  public static func name(of path: String) -> String {
    let trimmed = withoutTrailingSlashes(path)
    guard let slash = trimmed.utf8.lastIndex(of: 0x2F) else { return trimmed }
    return String(trimmed[trimmed.utf8.index(after: slash)...])
  }

  /// The path of what is at `path` without links and dots, nil where there is nothing.
  public static func canonicalPath(_ path: String) -> String? {
    guard let resolved = realpath(path, nil) else { return nil }
    defer { free(resolved) }
    return String(cString: resolved)
  }

  /// What the symbolic link at `path` says, nil where there is none.
  public static func linkTarget(of path: String) -> String? {
    var bytes = [CChar](repeating: 0, count: 4096)
    let count = readlink(path, &bytes, bytes.count)
    guard count > 0, count < bytes.count else { return nil }
    return String(decoding: bytes[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  private static func withoutTrailingSlashes(_ path: String) -> String {
    var end = path.utf8.endIndex
    while end > path.utf8.startIndex {
      let previous = path.utf8.index(before: end)
      if path.utf8[previous] != 0x2F { break }
      end = previous
    }
    return String(path[..<end])
  }

  /// A name that nobody else has.
  package static func temporaryName(prefix: String) -> String {
    prefix + String(UInt64.random(in: .min ... .max), radix: 36)
  }
}

extension FileSystem.Kind {
  init(mode: mode_t) {
    switch mode & S_IFMT {
    case S_IFREG: self = .file
    case S_IFDIR: self = .folder
    default: self = .other
    }
  }
}
