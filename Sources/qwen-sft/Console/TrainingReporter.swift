// What a run shows and keeps: the display on standard error and metrics.jsonl.

import SFT

/// Turns the events of a run into output.
final class TrainingReporter {
  private let display = TrainingDisplay()
  private let metrics: MetricsFile
  private let samples: SamplesFile
  private let memory: MemoryWatch
  private let outputDir: String
  /// What a resumed run has logged before.
  private var earlierLog: [LogEntry] = []
  /// The steps that it had done; 0 in a run from the beginning.
  private var firstStep = 0

  /// A reporter for the run in `outputDir`, whose memory is watched.
  init(outputDir: String, memory: MemoryWatch = MemoryWatch()) {
    self.outputDir = outputDir
    self.memory = memory
    metrics = MetricsFile(folder: outputDir)
    samples = SamplesFile(folder: outputDir)
  }

  /// Takes one event.
  func observe(_ event: TrainingEvent) {
    display.observe(event)
    switch event {
    case .resumed(let log, let step):
      earlierLog = log
      firstStep = step
    case .started:
      metrics.begin(with: earlierLog)
      samples.begin(after: firstStep)
      memory.check()
    case .step: memory.check()
    case .sampled(let answers): samples.append(answers)
    case .logged(let entry), .evaluated(let entry): metrics.append(entry)
    case .finished: Diagnostics.notice("results in \(outputDir)")
    default: break
    }
  }

  /// Takes the moving row away, for a message.
  func end() { display.end() }
}
