// What a run shows and keeps: the display on standard error and metrics.jsonl.

import SFT

/// Turns the events of a run into output.
final class TrainingReporter {
  private let display = TrainingDisplay()
  private let metrics: MetricsFile
  private let outputDir: String
  /// What a resumed run has logged before.
  private var earlierLog: [LogEntry] = []

  /// A reporter for the run in `outputDir`.
  init(outputDir: String) {
    self.outputDir = outputDir
    metrics = MetricsFile(folder: outputDir)
  }

  /// Takes one event.
  func observe(_ event: TrainingEvent) {
    display.observe(event)
    switch event {
    case .resumed(let log): earlierLog = log
    case .started: metrics.begin(with: earlierLog)
    case .logged(let entry), .evaluated(let entry): metrics.append(entry)
    case .finished: Diagnostics.notice("results in \(outputDir)")
    default: break
    }
  }

  /// Takes the moving row away, for a message.
  func end() { display.end() }
}
