// An open file descriptor that closes itself, with the loops that POSIX reads and writes need. Internal to
// this module: callers see mapped files, readers and writers.

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// An open file descriptor, closed on destruction.
package final class Descriptor {
  let path: String
  private var number: Int32

  /// Opens `path`; `shownPath` is the one that errors name. Opening a pipe never waits for its other end unless `waits` says so.
  package init(
    opening path: String, flags: Int32, operation: String = "open",
    shownPath: String? = nil, waits: Bool = false
  ) throws(FileError) {
    self.path = shownPath ?? path
    number = -1
    try checkPath(path)
    repeat {
      number = open(path, flags | O_CLOEXEC | (waits ? 0 : O_NONBLOCK), 0o666)
    } while number < 0 && errno == EINTR
    if number < 0 { throw .last(operation, self.path) }
  }

  /// Another number for the open file `number`.
  init(duplicating number: Int32, shownPath: String) throws(FileError) {
    path = shownPath
    self.number = fcntl(number, F_DUPFD_CLOEXEC, 0)
    if self.number < 0 { throw .last("open", path) }
  }

  /// The open file of this process that `path` names, as /dev/stdout does; nil where it names none.
  static func number(named path: String) -> Int32? {
    if path == "/dev/stdout" { return 1 }
    if path == "/dev/stderr" { return 2 }
    for folder in ["/dev/fd/", "/proc/self/fd/"] where path.hasPrefix(folder) {
      return Int32(path.dropFirst(folder.count))
    }
    return nil
  }

  deinit {
    if number >= 0 { _ = close(number) }
  }

  /// Closes now; an error that the file system has kept until now is thrown.
  package func finish() throws(FileError) {
    let open = number
    number = -1
    if open >= 0, close(open) != 0, errno != EINTR { throw .last("close", path) }
  }

  func status() throws(FileError) -> stat {
    var result = stat()
    if fstat(number, &result) != 0 { throw .last("examine", path) }
    return result
  }

  /// Reads into `bytes` from index `start` on, as much as there is or fits; 0 at the end.
  func read(into bytes: inout [UInt8], from start: Int = 0) throws(FileError) -> Int {
    try bytes.withUnsafeMutableBufferPointer { (buffer) throws(FileError) in
      let free = UnsafeMutableRawBufferPointer(
        rebasing: UnsafeMutableRawBufferPointer(buffer)[start...])
      while true {
        let count = systemRead(number, free.baseAddress, min(free.count, 1 << 30))
        if count >= 0 { return count }
        switch errno {
        case EINTR: continue
        case EAGAIN: _ = try waitForBytes(milliseconds: -1)
        default: throw .last("read", path)
        }
      }
    }
  }

  /// Waits until there is something to read, or the end, at most so long (-1: for ever); false when it was in vain.
  func waitForBytes(milliseconds: Int32) throws(FileError) -> Bool {
    var request = pollfd(fd: number, events: Int16(POLLIN), revents: 0)
    while true {
      let count = poll(&request, 1, milliseconds)
      if count >= 0 { return count > 0 }
      if errno != EINTR { throw .last("wait for", path) }
    }
  }

  /// Writes all of `bytes`, however many calls it takes.
  package func write(_ bytes: UnsafeRawBufferPointer) throws(FileError) {
    var rest = bytes[...]
    while !rest.isEmpty {
      // Linux moves at most 0x7FFFF000 bytes a call, Darwin fails above INT_MAX.
      let part = UnsafeRawBufferPointer(rebasing: rest.prefix(1 << 30))
      let count = systemWrite(number, part.baseAddress, part.count)
      if count > 0 {
        rest = rest.dropFirst(count)
      } else if count == 0 {
        throw .system(operation: "write", path: path, code: EIO)
      } else if errno == EAGAIN {
        // A pipe that is full.
        var request = pollfd(fd: number, events: Int16(POLLOUT), revents: 0)
        if poll(&request, 1, -1) < 0, errno != EINTR { throw .last("wait for", path) }
      } else if errno != EINTR {
        throw .last("write", path)
      }
    }
  }

  /// Goes to byte `offset`.
  func seek(to offset: Int) throws(FileError) {
    if lseek(number, off_t(offset), SEEK_SET) < 0 { throw .last("seek in", path) }
  }

  /// Cuts the file off at `byteCount`.
  func truncate(to byteCount: Int) throws(FileError) {
    while ftruncate(number, off_t(byteCount)) != 0 {
      if errno != EINTR { throw .last("cut off", path) }
    }
  }

  /// Asks the device to keep what was written. A file system that knows no such thing is taken as it is.
  func synchronize() throws(FileError) {
    while fsync(number) != 0 {
      if errno == EINTR { continue }
      if errno == EINVAL || errno == ENOTSUP || errno == EROFS { return }
      throw .last("synchronize", path)
    }
  }

  /// A read-only shared mapping of the first `byteCount` > 0 bytes.
  func map(byteCount: Int) throws(FileError) -> UnsafeMutableRawPointer {
    let address = mmap(nil, byteCount, PROT_READ, MAP_SHARED, number, 0)
    guard let address, address != MAP_FAILED else { throw .last("map", path) }
    return address
  }
}

// The methods above hide the functions of the C library.
private func systemRead(_ number: Int32, _ buffer: UnsafeMutableRawPointer?, _ count: Int) -> Int {
  read(number, buffer, count)
}

private func systemWrite(_ number: Int32, _ buffer: UnsafeRawPointer?, _ count: Int) -> Int {
  write(number, buffer, count)
}

/// Refuses what a C string would cut short.
func checkPath(_ path: String) throws(FileError) {
  if path.isEmpty || path.utf8.contains(0) { throw .invalidPath(path: path) }
}
