// What a run shows and keeps: the display on standard error and metrics.jsonl.

import SFT

/// Turns the events of a run into output.
final class TrainingReporter {
  private let display = TrainingDisplay()
  private let metrics: MetricsFile
  private let outputDir: String

  /// A reporter for the run in `outputDir`, whose metrics are continued or begun anew.
  init(outputDir: String, isContinued: Bool) {
    self.outputDir = outputDir
    metrics = MetricsFile(folder: outputDir, continuing: isContinued)
  }

  /// Takes one event.
  func observe(_ event: TrainingEvent) {
    display.observe(event)
    switch event {
    case .logged(let entry), .evaluated(let entry): metrics.append(entry)
    case .finished: Diagnostics.notice("results in \(outputDir)")
    default: break
    }
  }

  /// Takes the moving row away, for a message.
  func end() { display.end() }
}
