// metrics.jsonl: every log entry as one line, as soon as it is there.

import Files
import Glibc
import OrderedJSON
import SFT

/// Appends log entries to a file.
struct MetricsFile {
  private let path: String

  /// The file in `folder`; emptied unless a run goes on.
  init(folder: String, continuing: Bool) {
    path = FileSystem.join(folder, "metrics.jsonl")
    if !continuing { unlink(path) }
  }

  /// Appends an entry. What cannot be written is said once and does not stop the run.
  func append(_ entry: LogEntry) {
    let descriptor = open(path, O_WRONLY | O_CREAT | O_APPEND, 0o666)
    guard descriptor >= 0 else {
      Diagnostics.notice("\(path): cannot be written: \(String(cString: strerror(errno)))")
      return
    }
    defer { close(descriptor) }
    let code = writeAll(Array((entry.json.serialized() + "\n").utf8), to: descriptor)
    if code != 0 {
      Diagnostics.notice("\(path): cannot be written: \(String(cString: strerror(code)))")
    }
  }
}
