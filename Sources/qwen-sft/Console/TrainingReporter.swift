// What a run shows and keeps: the display on standard error and metrics.jsonl.

import SFT

/// Turns the events of a run into output.
final class TrainingReporter {
  private let metrics: MetricsFile
  private let display = TrainingDisplay()
  private let outputDir: String

  init(outputDir: String, isContinued: Bool) {
    self.outputDir = outputDir
    metrics = MetricsFile(folder: outputDir, continuing: isContinued)
  }

  /// Takes one event.
  func observe(_ event: TrainingEvent) {
    switch event {
    case .logged(let entry), .evaluated(let entry): metrics.append(entry)
    default: break
    }
    display.observe(event)
    if case .finished = event { Diagnostics.notice("results are in \(outputDir)") }
  }

  /// Takes the moving row away, for a message below it.
  func end() { display.end() }
}
