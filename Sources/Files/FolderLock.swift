// One writer at a time in a folder.

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// Holds a folder for one writer until it is released; the system releases it too when the process ends, however it does.
public final class FolderLock {
  private let descriptor: Int32

  /// Takes `folder`, which exists; nil where another holds it. Where the file system has no locks everybody gets one.
  public init?(_ folder: String) {
    descriptor = open(folder, O_RDONLY | O_CLOEXEC | O_DIRECTORY)
    guard descriptor >= 0, flock(descriptor, LOCK_EX | LOCK_NB) != 0, errno == EWOULDBLOCK else {
      return
    }
    return nil  // deinit closes it
  }

  deinit {
    if descriptor >= 0 { close(descriptor) }
  }
}
