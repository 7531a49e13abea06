// metrics.jsonl: every log entry as one line, as soon as it is there.

import Files
import OrderedJSON
package import SFT

/// The log of a run as a file. What cannot be written is said once and does not stop the run.
package final class MetricsFile {
  private let file: AppendedFile

  /// The file in `folder`, which stays as it is until ``begin(with:)``.
  package init(folder: String) {
    file = AppendedFile(path: FileSystem.join(folder, "metrics.jsonl"))
  }

  /// Begins the file anew with `log`: the entries of the steps before a resumed run.
  package func begin(with log: [LogEntry]) { file.begin(with: log.flatMap { line($0) }) }

  /// Appends an entry, whole or not at all.
  package func append(_ entry: LogEntry) { file.append(line(entry)) }

  private func line(_ entry: LogEntry) -> [UInt8] { Array((entry.json.serialized() + "\n").utf8) }
}
