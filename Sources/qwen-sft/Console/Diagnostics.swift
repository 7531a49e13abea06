// Standard error: errors, notices and log lines, one line each. What cannot be written is lost, and no fault.

import Glibc
import Logging
import Synchronization

/// The standard error of this process.
package enum Diagnostics {
  /// "qwen-sft: error: MESSAGE".
  package static func error(_ message: String) {
    let line = oneLine(message)
    let scalars = line.unicodeScalars
    // Files may bring names of any length into a message.
    let shown =
      scalars.count <= maximumErrorLength
      ? line
      : String(scalars.prefix(maximumErrorLength / 2)) + " … "
        + String(scalars.suffix(maximumErrorLength / 2))
    write(line: "qwen-sft: error: \(shown)")
  }

  /// Characters of an error that are shown.
  private static let maximumErrorLength = 1200

  /// "qwen-sft: MESSAGE": something the user should know, whatever the log level.
  package static func notice(_ message: String) { write(line: "qwen-sft: \(oneLine(message))") }

  /// Writes `line` and a line end, in one piece, above the status where there is one.
  package static func write(line: String) {
    status.withLock { status in
      let text =
        status.isEmpty
        ? line + "\n" : toFirstRow(of: status) + "\u{1B}[J\(line)\n" + drawn(status)
      _ = writeAll(Array(text.utf8), to: STDERR_FILENO)
    }
  }

  /// Writes `text` as it is, such as a prompt that waits on its row.
  package static func write(_ text: String) { _ = writeAll(Array(text.utf8), to: STDERR_FILENO) }

  /// Shows `rows`, each of which must fit a row of the terminal, below all lines; none ends it. They are written over
  /// those that were there, in one piece, so that nothing flickers.
  package static func showStatus(_ rows: [String]) {
    status.withLock { status in
      guard !(status.isEmpty && rows.isEmpty) else { return }
      let text = toFirstRow(of: status) + (rows.isEmpty ? "\u{1B}[J" : drawn(rows))
      status = rows
      _ = writeAll(Array(text.utf8), to: STDERR_FILENO)
    }
  }

  private static let status = Mutex<[String]>([])

  /// Moves from the end of the last row of `status` to the beginning of the first.
  /// On a terminal that has become narrower they take more rows than when they were drawn.
  private static func toFirstRow(of status: [String]) -> String {
    let columns = max(1, terminalSize.columns)
    let count = status.reduce(0) { $0 + max(1, ($1.count + columns - 1) / columns) }
    return "\r" + (count > 1 ? "\u{1B}[\(count - 1)A" : "")
  }

  /// The rows, each with what was behind it erased, and all that was below them.
  private static func drawn(_ rows: [String]) -> String {
    rows.map { $0 + "\u{1B}[K" }.joined(separator: "\r\n") + "\u{1B}[J"
  }

  /// Whether standard error is a terminal.
  package static var isTerminal: Bool { isatty(STDERR_FILENO) == 1 }

  /// Columns and rows of the terminal on standard error; 80 and 24 where unknown.
  package static var terminalSize: (columns: Int, rows: Int) {
    var size = winsize()
    guard ioctl(STDERR_FILENO, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 else {
      return (80, 24)
    }
    return (Int(size.ws_col), Int(size.ws_row))
  }

  /// Sends log lines here: from warning on, or from debug on where `isVerbose`.
  package static func startLogging(isVerbose: Bool) {
    LoggingSystem.bootstrap { _ in
      StandardErrorLogHandler(logLevel: isVerbose ? .debug : .warning)
    }
  }

  /// `message` with its line ends and other control characters made spaces.
  package static func oneLine(_ message: String) -> String {
    var scalars = String.UnicodeScalarView()
    for scalar in message.unicodeScalars {
      if scalar.value >= 0x20, !(0x7F...0x9F).contains(scalar.value),
        scalar != "\u{2028}", scalar != "\u{2029}"
      {
        scalars.append(scalar)
      } else if scalars.last != " " {
        scalars.append(" ")
      }
    }
    while scalars.last == " " { scalars.removeLast() }
    return String(scalars)
  }
}

/// Log lines on standard error: "qwen-sft: warning: MESSAGE (key: value)".
struct StandardErrorLogHandler: LogHandler {
  var metadata: Logger.Metadata = [:]
  var logLevel: Logger.Level

  init(logLevel: Logger.Level) { self.logLevel = logLevel }

  subscript(metadataKey key: String) -> Logger.Metadata.Value? {
    get { metadata[key] }
    set { metadata[key] = newValue }
  }

  func log(event: LogEvent) {
    let pairs = metadata.merging(event.metadata ?? [:]) { $1 }.sorted { $0.key < $1.key }
    let details = pairs.map { "\($0.key): \($0.value)" }.joined(separator: ", ")
    Diagnostics.notice(
      "\(event.level): \(event.message)" + (details.isEmpty ? "" : " (\(details))"))
  }
}
