// metrics.jsonl: every log entry as one line, as soon as it is there.

import Files
import Glibc
import OrderedJSON
package import SFT

/// The log of a run as a file. What cannot be written is said once and does not stop the run.
package final class MetricsFile {
  private let path: String
  private var hasFailed = false

  /// The file in `folder`, which stays as it is until ``begin(with:)``.
  package init(folder: String) { path = FileSystem.join(folder, "metrics.jsonl") }

  /// Begins the file anew with `log`: the entries of the steps before a resumed run.
  package func begin(with log: [LogEntry]) {
    do throws(FileError) {
      try AtomicFile.write(log.map { line($0) }.joined(), to: path)
    } catch {
      fail(error.description)
    }
  }

  /// Appends an entry, whole or not at all.
  package func append(_ entry: LogEntry) {
    guard !hasFailed else { return }
    let descriptor = open(path, O_WRONLY | O_APPEND | O_CLOEXEC)
    guard descriptor >= 0 else { return fail(errno) }
    defer { close(descriptor) }
    let size = lseek(descriptor, 0, SEEK_END)
    let code = writeAll(Array(line(entry).utf8), to: descriptor)
    if code != 0 {
      if size >= 0 { _ = ftruncate(descriptor, size) }
      fail(code)
    }
  }

  private func line(_ entry: LogEntry) -> String { entry.json.serialized() + "\n" }

  private func fail(_ code: Int32) {
    fail("\(path): cannot write: \(String(cString: strerror(code)))")
  }

  private func fail(_ problem: String) {
    if !hasFailed { Diagnostics.notice("\(problem); the run goes on without it") }
    hasFailed = true
  }
}
