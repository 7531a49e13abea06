// What a run shows and keeps: the display on standard error, metrics.jsonl, event files, the report.

import Report
import SFT

/// Turns the events of a run into output.
final class TrainingReporter {
  private let display = TrainingDisplay()
  private let metrics: MetricsFile?
  private let board: TensorBoardFile?
  private let page: ReportFile
  private let samples: SamplesFile
  private let memory: MemoryWatch
  private let run: RunDescription
  /// What a resumed run has logged before.
  private var earlierLog: [LogEntry] = []
  /// The steps that it had done; 0 in a run from the beginning.
  private var firstStep = 0

  /// A reporter for `run` to `targets`, whose memory is watched.
  init(
    _ run: RunDescription, targets: Set<ReportTarget>, memory: MemoryWatch = MemoryWatch()
  ) {
    self.run = run
    self.memory = memory
    metrics = targets.contains(.jsonl) ? MetricsFile(folder: run.outputDir) : nil
    board = targets.contains(.tensorboard) ? TensorBoardFile(folder: run.outputDir) : nil
    page = ReportFile(run, isPageWanted: targets.contains(.html))
    samples = SamplesFile(folder: run.outputDir)
  }

  /// Takes one event.
  func observe(_ event: TrainingEvent) {
    display.observe(event)
    switch event {
    case .resumed(let log, let step):
      earlierLog = log
      firstStep = step
    case .started:
      metrics?.begin(with: earlierLog)
      board?.begin(
        after: firstStep, log: earlierLog,
        recipe: run.recipe.map { "\($0.name): \($0.value)" }.joined(separator: "\n"))
      samples.begin(after: firstStep)
      memory.check()
    case .step: memory.check()
    case .sampled(let answers): samples.append(answers)
    case .logged(let entry), .evaluated(let entry):
      metrics?.append(entry)
      board?.append(entry)
    case .finished(let summary):
      board?.append(summary)
      Diagnostics.notice("results in \(run.outputDir)")
    default: break
    }
    page.observe(event, earlierSamples: samples.earlier)
  }

  /// Takes the moving rows away and writes the report of a run that `error` ended.
  func end(_ error: TrainingError) {
    display.end()
    if case .interrupted = error {
      page.end(error.description, isInterruption: true)
    } else {
      page.end(error.description, isInterruption: false)
    }
  }
}
