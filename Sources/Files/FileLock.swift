// Advisory locks between processes, on files that nobody reads: flock(2), which other programs use on the same
// files.

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// An exclusive lock on a file, given back on destruction. The file stays.
public final class FileLock: Sendable {
  private let number: Int32

  private init(number: Int32) { self.number = number }

  deinit { _ = close(number) }

  /// Locks the file at `path`, which is made where it is missing; nil while somebody else holds the lock.
  ///
  /// A file system without locks is taken as one where nobody else is.
  public static func attempt(_ path: String) throws(FileError) -> FileLock? {
    try checkPath(path)
    // Whoever held the lock may have removed the file: then the lock is one on nothing, and another try is due.
    for _ in 0..<8 {
      // Writable by the group, so that users who share a cache can wait for each other.
      let number = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o664)
      guard number >= 0 else { throw .last("open", path) }
      let lock = FileLock(number: number)
      while flock(number, LOCK_EX | LOCK_NB) != 0 {
        switch errno {
        case EINTR: continue
        case EWOULDBLOCK: return nil
        case ENOSYS, ENOTSUP, EINVAL, ENOLCK: return lock
        default: throw .last("lock", path)
        }
      }
      var (held, found) = (stat(), stat())
      if fstat(number, &held) == 0, stat(path, &found) == 0, held.st_ino == found.st_ino,
        held.st_dev == found.st_dev
      {
        return lock
      }
    }
    return nil
  }
}

extension FileSystem {
  /// Lets this thread rest.
  public static func sleep(seconds: Double) {
    usleep(UInt32(min(max(seconds, 0), 60) * 1e6))
  }
}
