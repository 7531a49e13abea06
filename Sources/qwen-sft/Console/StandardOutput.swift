// Standard output, buffered: results go here and nothing else does.

import Glibc
import Synchronization

/// Why standard output takes no more.
package enum OutputError: Error, Sendable, Hashable, CustomStringConvertible {
  /// Whoever read it has gone, as `head` does: no fault of anybody.
  case readerGone
  /// The system refused with the errno `code`.
  case system(code: Int32)

  /// What is wrong, in one line.
  package var description: String {
    switch self {
    case .readerGone: "standard output: the reader has gone"
    case .system(let code):
      "standard output: cannot write: \(String(cString: strerror(code)))"
        + (code == ENOSPC ? " (free some space, or choose another place)" : "")
    }
  }
}

/// The standard output of this process.
package enum StandardOutput {
  private static let buffer = Mutex<[UInt8]>([])
  private static let bufferSize = 1 << 16

  /// Appends `text`; it leaves with ``flush()``, or when there is enough.
  package static func write(_ text: String) throws(OutputError) {
    try write(Array(text.utf8))
  }

  /// Appends `line` and a line end.
  package static func write(line: String) throws(OutputError) {
    try write(Array(line.utf8) + [0x0A])
  }

  /// Appends `bytes`.
  package static func write(_ bytes: [UInt8]) throws(OutputError) {
    let full = buffer.withLock { buffer -> [UInt8] in
      buffer.append(contentsOf: bytes)
      return buffer.count < bufferSize ? [] : take(&buffer)
    }
    try send(full)
  }

  /// Sends what has been kept back.
  package static func flush() throws(OutputError) {
    try send(buffer.withLock { take(&$0) })
  }

  /// Whether standard output is a terminal.
  package static var isTerminal: Bool { isatty(STDOUT_FILENO) == 1 }

  private static func take(_ buffer: inout [UInt8]) -> [UInt8] {
    let bytes = buffer
    buffer.removeAll(keepingCapacity: true)
    return bytes
  }

  private static func send(_ bytes: [UInt8]) throws(OutputError) {
    let code = writeAll(bytes, to: STDOUT_FILENO)
    if code == EPIPE { throw .readerGone }
    if code != 0 { throw .system(code: code) }
  }
}

/// Writes all of `bytes` and returns 0, or the errno that stopped it.
func writeAll(_ bytes: [UInt8], to descriptor: Int32) -> Int32 {
  bytes.withUnsafeBytes { bytes in
    var rest = bytes[...]
    while !rest.isEmpty {
      let part = UnsafeRawBufferPointer(rebasing: rest.prefix(1 << 30))
      let count = Glibc.write(descriptor, part.baseAddress, part.count)
      if count > 0 {
        rest = rest.dropFirst(count)
      } else if count == 0 {
        return EIO
      } else if errno == EAGAIN {
        var request = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
        _ = poll(&request, 1, -1)
      } else if errno != EINTR {
        return errno
      }
    }
    return 0
  }
}
