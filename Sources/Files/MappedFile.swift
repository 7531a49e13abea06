// A file mapped into memory, read-only. Nothing is read until it is touched, and pages are dropped freely.

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// A whole regular file mapped into memory, unmapped on destruction.
///
/// The file must keep its length as long as it is mapped: touching a part that another program has cut off
/// ends the process, as with every mapped file. Files that this project writes are replaced by renaming,
/// which leaves mappings of the old one whole.
public final class MappedFile: Sendable {
  /// How a range will be used.
  public enum Advice: Sendable {
    /// Soon: read it ahead.
    case willNeed
    /// Not for a while: its pages may be dropped (they are read again when touched).
    case dontNeed
    /// From front to back.
    case sequential
  }

  /// The path it was opened with.
  public let path: String
  /// The size in bytes.
  public let byteCount: Int
  /// When its bytes were last changed, in nanoseconds since 1970.
  public let modificationTime: Int
  // Safety: the pointer never changes, the pages are read-only, and they live as long as the object.
  private nonisolated(unsafe) let address: UnsafeRawPointer?

  /// Maps the file at `path`.
  public init(path: String) throws(FileError) {
    let descriptor = try Descriptor(opening: path, flags: O_RDONLY)
    let status = try descriptor.status()
    guard status.st_mode & S_IFMT == S_IFREG else { throw .notARegularFile(path: path) }
    self.path = path
    byteCount = Int(status.st_size)
    #if canImport(Darwin)
      let time = status.st_mtimespec
    #else
      let time = status.st_mtim
    #endif
    modificationTime = Int(time.tv_sec) &* 1_000_000_000 &+ Int(time.tv_nsec)
    address = byteCount > 0 ? UnsafeRawPointer(try descriptor.map(byteCount: byteCount)) : nil
  }

  deinit {
    if let address { munmap(UnsafeMutableRawPointer(mutating: address), byteCount) }
  }

  /// Calls `body` with the bytes of the file.
  public func withBytes<Result: ~Copyable, Failure: Error>(
    _ body: (RawSpan) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    try body(UnsafeRawBufferPointer(start: address, count: byteCount).bytes)
  }

  /// Calls `body` with the bytes of the file; they are valid for the call only.
  package func withUnsafeBytes<Result: ~Copyable, Failure: Error>(
    _ body: (UnsafeRawBufferPointer) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    try body(UnsafeRawBufferPointer(start: address, count: byteCount))
  }

  /// The first byte, page-aligned; nil for an empty file. Valid as long as the object is alive, so whoever
  /// keeps it keeps the object.
  package var baseAddress: UnsafeRawPointer? { address }

  /// Tells the system how the bytes of `range` will be used; ranges outside the file are clamped. A hint:
  /// it cannot fail and changes no content.
  public func advise(_ advice: Advice, _ range: Range<Int>? = nil) {
    guard let address else { return }
    let pageSize = max(1, Int(sysconf(Int32(_SC_PAGESIZE))))
    let range = (range ?? 0..<byteCount).clamped(to: 0..<byteCount)
    // A page shared with a neighbour may be fetched for us, but is not ours to drop.
    let lower: Int
    var upper = range.upperBound
    let code: Int32
    switch advice {
    case .willNeed, .sequential:
      lower = range.lowerBound / pageSize * pageSize
      code = advice == .willNeed ? MADV_WILLNEED : MADV_SEQUENTIAL
    case .dontNeed:
      lower = (range.lowerBound + pageSize - 1) / pageSize * pageSize
      if upper < byteCount { upper = upper / pageSize * pageSize }
      code = MADV_DONTNEED
    }
    guard lower < upper else { return }
    _ = madvise(UnsafeMutableRawPointer(mutating: address + lower), upper - lower, code)
  }
}
