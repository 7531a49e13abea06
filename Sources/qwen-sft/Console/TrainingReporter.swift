// What a run shows and keeps: the display on standard error and metrics.jsonl.

import SFT

/// Turns the events of a run into output.
final class TrainingReporter {
  private let metrics: MetricsFile
  private let outputDir: String

  init(outputDir: String, isContinued: Bool) {
    self.outputDir = outputDir
    metrics = MetricsFile(folder: outputDir, continuing: isContinued)
  }

  /// Takes one event.
  func observe(_ event: TrainingEvent) {
    switch event {
    case .started(let steps, let parameters, let rows):
      Diagnostics.notice("\(rows) rows, \(steps) steps, \(parameters) trained parameters")
    case .step: break
    case .logged(let entry), .evaluated(let entry):
      metrics.append(entry)
      Diagnostics.notice(
        "step \(entry.step): loss \(fixed(entry["loss"] ?? .nan, digits: 4)), \(fixed(entry["tokens_per_second"] ?? 0, digits: 0)) tokens/s")
    case .saved(let path, _): Diagnostics.notice("saved \(path)")
    case .notice(let text): Diagnostics.notice(text)
    case .finished(let summary):
      Diagnostics.notice(
        "done: \(summary.steps) steps in \(duration(summary.seconds)), mean loss \(fixed(summary.trainLoss, digits: 4)), results in \(outputDir)")
    }
  }

  /// Leaves the display as it is, for a message below it.
  func end() {}
}
