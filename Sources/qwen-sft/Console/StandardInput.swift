// Standard input in lines, as they come: whoever writes a line and waits for the answer gets it. A line ends at
// byte 0x0A and nowhere else.

import Files
import Glibc

/// The standard input of this process.
struct StandardInput {
  /// A line without its 0x0A.
  struct Line: Sendable {
    /// From 1.
    let number: Int
    /// The bytes, without the 0x0A.
    let bytes: [UInt8]
  }

  /// What errors call it.
  static let name = "standard input"
  /// The longest line taken: 256 MiB.
  static let maximumLineByteCount = 1 << 28

  private var buffer = [UInt8](repeating: 0, count: 1 << 18)
  private var partial: [UInt8] = []
  private var lineCount = 0
  private var isAtEnd = false

  /// Whether standard input is a terminal.
  static var isTerminal: Bool { isatty(STDIN_FILENO) == 1 }

  /// The lines that are there, at least one; nil after the last.
  mutating func next() throws(CLIError) -> [Line]? {
    var lines: [Line] = []
    while lines.isEmpty, !isAtEnd {
      let count = try read()
      if count == 0 {
        isAtEnd = true
        if !partial.isEmpty { lines.append(takeLine()) }
        break
      }
      for piece in buffer[..<count].split(separator: 0x0A, omittingEmptySubsequences: false)
        .enumerated()
      {
        if piece.offset > 0 { lines.append(takeLine()) }
        guard partial.count + piece.element.count <= Self.maximumLineByteCount else {
          throw .line(
            input: Self.name, line: lineCount + 1,
            problem: "expected a line of at most \(Self.maximumLineByteCount) bytes, found more")
        }
        partial.append(contentsOf: piece.element)
      }
    }
    return lines.isEmpty ? nil : lines
  }

  /// All the bytes that are left.
  mutating func readAll(maximumByteCount: Int = 1 << 28) throws(CLIError) -> [UInt8] {
    var bytes = partial
    partial = []
    while !isAtEnd {
      let count = try read()
      if count == 0 { isAtEnd = true }
      bytes.append(contentsOf: buffer[..<count])
      guard bytes.count <= maximumByteCount else {
        throw .file(.tooLarge(path: Self.name, maximumByteCount: maximumByteCount))
      }
    }
    return bytes
  }

  private mutating func takeLine() -> Line {
    lineCount += 1
    let line = Line(number: lineCount, bytes: partial)
    partial = []
    return line
  }

  private mutating func read() throws(CLIError) -> Int {
    while true {
      let count = buffer.withUnsafeMutableBytes { bytes in
        Glibc.read(STDIN_FILENO, bytes.baseAddress, bytes.count)
      }
      if count >= 0 { return count }
      switch errno {
      case EINTR: continue
      case EAGAIN:
        var request = pollfd(fd: STDIN_FILENO, events: Int16(POLLIN), revents: 0)
        _ = poll(&request, 1, -1)
      case EBADF: return 0  // closed: nothing to read
      default: throw .file(.system(operation: "read", path: Self.name, code: errno))
      }
    }
  }
}
