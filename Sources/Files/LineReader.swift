// Lines of a file, one at a time, in constant memory. A line ends at byte 0x0A and nowhere else: no other
// character of Unicode ends one, and a carriage return is content. Gzip data is unpacked on the way.

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// A reader of the lines of a file, which may be gzip data, known by its first two bytes.
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
  /// How long a pipe may stay without a writer; nil for what is no pipe.
  private let patienceMilliseconds: Int32?
  private var buffer: [UInt8]
  private var unread = 0..<0
  private var isAtEnd = false
  /// Unpacks the file's bytes, which then are in `packed`; nil where they are lines already.
  private var inflater: Inflater?
  private var packed: [UInt8] = []
  private var unreadPacked = 0..<0
  /// The bytes of the file that were read into `packed` so far.
  private var packedByteCount = 0
  private var hasBegun = false

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
    self.patienceMilliseconds = kind == S_IFIFO ? patienceMilliseconds : nil
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

  /// Reads on; at the end there is nothing unread.
  private func fill() throws(FileError) {
    if !hasBegun {
      try begin()
      if isAtEnd || !unread.isEmpty { return }
    }
    if let inflater { return try fill(from: inflater) }
    let count = try descriptor.read(into: &buffer)
    unread = 0..<count
    isAtEnd = count == 0
  }

  /// Reads the first bytes, and finds out whether they are gzip data.
  private func begin() throws(FileError) {
    hasBegun = true
    var count = 0
    while count < Inflater.magic.count {
      var more = try descriptor.read(into: &buffer, from: count)
      if more == 0, count == 0, let patienceMilliseconds {
        // Nobody has opened the other end yet.
        _ = try descriptor.waitForBytes(milliseconds: patienceMilliseconds)
        more = try descriptor.read(into: &buffer)
        if more == 0 { throw .noWriter(path: path) }
      }
      if more == 0 { break }
      count += more
    }
    guard buffer[..<count].starts(with: Inflater.magic) else {
      unread = 0..<count
      isAtEnd = count == 0
      return
    }
    do throws(Inflater.Failure) { inflater = try Inflater() } catch { throw damaged(error) }
    packed = buffer
    unreadPacked = 0..<count
    packedByteCount = count
  }

  private func fill(from inflater: Inflater) throws(FileError) {
    while true {
      if unreadPacked.isEmpty {
        let count = try descriptor.read(into: &packed)
        unreadPacked = 0..<count
        packedByteCount += count
        if count == 0 {
          if inflater.isInMember { throw damaged(.init(problem: "the gzip data ends early")) }
          isAtEnd = true
          return
        }
      }
      let done: (read: Int, written: Int)
      do throws(Inflater.Failure) {
        done = try inflater.inflate(packed, unreadPacked, into: &buffer)
      } catch { throw damaged(error) }
      unreadPacked = unreadPacked.lowerBound + done.read..<unreadPacked.upperBound
      unread = 0..<done.written
      if done.written > 0 { return }
      if done.read == 0, !unreadPacked.isEmpty {
        throw damaged(.init(problem: "the gzip data is damaged"))
      }
    }
  }

  private func damaged(_ failure: Inflater.Failure) -> FileError {
    .damaged(
      path: path, line: lineCount + 1,
      problem: "\(failure.problem), at byte \(packedByteCount - unreadPacked.count) of the file "
        + "(\(failure.hint))")
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
