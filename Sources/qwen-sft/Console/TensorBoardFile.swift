// TensorBoard's event file of a run, with the folder, name and tags that transformers' callback gives it.

import Files
import Glibc
import Report
package import SFT

/// The event file of a run: `OUT/runs/TIME_HOST/events.out.tfevents.…`.
package final class TensorBoardFile {
  private let runs: String
  private var file: AppendedFile?
  /// The last step of each curve: none is written twice.
  private var lastSteps: [String: Int] = [:]

  private let now: () -> Double

  /// A file in the output folder `folder`, with times from `now`, in seconds since 1970.
  package init(folder: String, now: @escaping () -> Double = { WallClock.now }) {
    runs = FileSystem.join(folder, "runs")
    self.now = now
  }

  /// Begins a file. A resumed run, which has done `step` steps and logged `log`, goes on in the newest folder of runs;
  /// its file begins by saying that whatever earlier ones have of later steps is void. Where there is none the log is
  /// written again. `recipe` are the settings, as text.
  package func begin(after step: Int, log: [LogEntry], recipe: String) {
    let now = now()
    let earlier = step > 0 ? newestFolder() : nil
    let folder =
      earlier
      ?? FileSystem.join(
        runs, WallClock.text("%b%d_%H-%M-%S", at: now) + "_" + WallClock.hostName)
    let seconds = String(Int(now))
    let name =
      "events.out.tfevents." + String(repeating: "0", count: max(0, 10 - seconds.utf8.count))
      + "\(seconds).\(WallClock.hostName).\(getpid()).0"
    let file = AppendedFile(path: FileSystem.join(folder, name))
    self.file = file
    do throws(FileError) { try FileSystem.makeFolder(folder) } catch {
      return file.fail(error.description)
    }
    var records = [EventRecord(wallTime: now, step: 0, .fileVersion)]
    if earlier != nil {
      records.append(EventRecord(wallTime: now, step: step + 1, .sessionStart))
    }
    if !recipe.isEmpty {
      // Four spaces make the text plug-in show it as it stands.
      let text = recipe.split(separator: "\n").map { "    " + $0 }.joined(separator: "\n")
      records.append(EventRecord(wallTime: now, step: step, .text(tag: "args", text)))
    }
    for entry in log {
      let scalars = scalars(entry.values, step: entry.step)
      if earlier == nil, !scalars.isEmpty {
        records.append(EventRecord(wallTime: now, step: entry.step, .scalars(scalars)))
      }
    }
    file.begin(with: records.flatMap(\.bytes))
  }

  /// Appends an entry of the log.
  package func append(_ entry: LogEntry) { append(entry.values, step: entry.step) }

  /// Appends the closing figures.
  package func append(_ summary: TrainingSummary) {
    append(
      [
        ("train_runtime", summary.seconds), ("train_loss", summary.trainLoss),
        ("train_tokens_per_second", summary.tokensPerSecond),
      ], step: summary.steps)
  }

  private func append(_ values: [(key: String, value: Double)], step: Int) {
    let scalars = scalars(values, step: step)
    guard !scalars.isEmpty else { return }
    file?.append(EventRecord(wallTime: now(), step: step, .scalars(scalars)).bytes)
  }

  /// Values with transformers' tags; of a curve that has this step already, nothing.
  private func scalars(_ values: [(key: String, value: Double)], step: Int) -> [EventRecord.Scalar]
  {
    values.compactMap { key, value in
      let tag = key.hasPrefix("eval_") ? "eval/" + key.dropFirst(5) : "train/" + key
      guard lastSteps[tag].map({ $0 < step }) ?? true else { return nil }
      lastSteps[tag] = step
      return EventRecord.Scalar(tag: tag, value: value)
    }
  }

  /// The folder of runs whose event file is the youngest, by the time in its name.
  private func newestFolder() -> String? {
    var newest: (time: Int, folder: String)?
    for entry in (try? FileSystem.list(runs)) ?? [] where entry.kind == .folder {
      let folder = FileSystem.join(runs, entry.name)
      for file in (try? FileSystem.list(folder)) ?? [] {
        let parts = file.name.split(separator: ".")
        guard file.name.hasPrefix("events.out.tfevents."), parts.count > 3,
          let time = Int(parts[3]), time > newest?.time ?? -1
        else { continue }
        newest = (time, folder)
      }
    }
    return newest?.folder
  }
}
