// Lines of a file, one at a time, in constant memory. A line ends at byte 0x0A and nowhere else: no other
// character of Unicode ends one, and a carriage return is content.

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// A reader of the lines of a file.
public final class LineReader {
  /// A line without its 0x0A.
  public struct Line: Sendable, Hashable {
    /// The number of the line, from 1.
    public let number: Int
    /// The bytes, without the 0x0A.
    public let bytes: [UInt8]
  }

  /// The path being read.
  public let path: String
  /// The number of lines read so far.
  public private(set) var lineCount = 0
  private let descriptor: Descriptor
  private let maximumByteCount: Int
  private var buffer: [UInt8]
  private var unread = 0..<0
  private var isAtEnd = false

  /// The longest line taken unless told: 256 MiB.
  public static let defaultMaximumByteCount = 1 << 28
  /// How long a pipe may stay without a writer: 10 s.
  public static let defaultPatienceMilliseconds: Int32 = 10_000

  /// Opens `path`, which may be a pipe. A line of more than `maximumByteCount` bytes is an error, and so is a pipe
  /// that nobody writes to for `patienceMilliseconds`.
  public init(
    path: String, maximumByteCount: Int = LineReader.defaultMaximumByteCount,
    patienceMilliseconds: Int32 = LineReader.defaultPatienceMilliseconds
  ) throws(FileError) {
    self.path = path
    self.maximumByteCount = maximumByteCount
    descriptor = try Descriptor(opening: path, flags: O_RDONLY)
    let kind = try descriptor.status().st_mode & S_IFMT
    guard kind != S_IFDIR else { throw .notARegularFile(path: path) }
    if kind == S_IFIFO {
      guard try descriptor.waitForBytes(milliseconds: patienceMilliseconds) else {
        throw .noWriter(path: path)
      }
    }
    buffer = [UInt8](repeating: 0, count: 1 << 17)
  }

  /// The next line, nil at the end. A last line without 0x0A counts; an empty rest does not.
  public func next() throws(FileError) -> Line? {
    var line: [UInt8] = []
    while true {
      if unread.isEmpty {
        if !isAtEnd { try fill() }
        if isAtEnd {
          if line.isEmpty { return nil }
          lineCount += 1
          return Line(number: lineCount, bytes: line)
        }
      }
      let end = indexOfLineEnd()
      let piece = unread.lowerBound..<(end ?? unread.upperBound)
      guard line.count + piece.count <= maximumByteCount else {
        throw .lineTooLong(path: path, line: lineCount + 1, maximumByteCount: maximumByteCount)
      }
      line.append(contentsOf: buffer[piece])
      unread = (end.map { $0 + 1 } ?? unread.upperBound)..<unread.upperBound
      if end != nil {
        lineCount += 1
        return Line(number: lineCount, bytes: line)
      }
    }
  }

  private func fill() throws(FileError) {
    let count = try descriptor.read(into: &buffer)
    unread = 0..<count
    isAtEnd = count == 0
  }

  private func indexOfLineEnd() -> Int? {
    let range = unread
    return buffer.withUnsafeBytes { bytes -> Int? in
      guard let base = bytes.baseAddress,
        let found = memchr(base + range.lowerBound, 0x0A, range.count)
      else { return nil }
      return UnsafeRawPointer(found) - base
    }
  }
}
