// Links, and room on the device.

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

extension FileSystem {
  /// Makes a symbolic link at `path` that says `target`, replacing a file or link; it appears whole.
  public static func makeLink(at path: String, to target: String) throws(FileError) {
    try checkPath(path)
    try checkPath(target)
    let temporary = join(parent(of: path), temporaryName(prefix: ".partial-"))
    guard symlink(target, temporary) == 0 else { throw .last("link to \(target)", path) }
    guard systemRename(temporary, path) == 0 else {
      let error = FileError.last("link to \(target)", path)
      unlink(temporary)
      throw error
    }
  }

  /// The bytes that may still be written where `path` is, or will be; nil where the system does not say.
  public static func freeByteCount(at path: String) -> Int? {
    var folder = path
    while kind(of: folder) == nil {
      let above = parent(of: folder)
      if above == folder { return nil }
      folder = above
    }
    var status = statvfs()
    guard statvfs(folder, &status) == 0 else { return nil }
    let (count, isTooLarge) = UInt64(status.f_bavail).multipliedReportingOverflow(
      by: UInt64(status.f_frsize))
    return isTooLarge ? .max : Int(clamping: count)
  }

  /// When the file at `path` was last changed, in seconds since 1970; nil where nothing is.
  public static func modificationSeconds(of path: String) -> Double? {
    var status = stat()
    guard (try? checkPath(path)) != nil, stat(path, &status) == 0 else { return nil }
    #if canImport(Darwin)
      let time = status.st_mtimespec
    #else
      let time = status.st_mtim
    #endif
    return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
  }

  /// Seconds since 1970.
  public static func currentSeconds() -> Double {
    var time = timespec()
    clock_gettime(CLOCK_REALTIME, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
  }
}
