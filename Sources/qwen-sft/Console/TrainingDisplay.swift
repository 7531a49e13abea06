// A run on standard error: a few rows that stay in place where it is a terminal, else a line for each entry of the log.

import SFT

/// Shows the events of a training run.
final class TrainingDisplay {
  private let isTerminal: Bool
  /// Whether the terminal's letters go beyond ASCII.
  private let isUnicode = Environment.current.isUnicode
  private var progress = TrainingProgress()
  private var lastRedraw: ContinuousClock.Instant?

  /// A display on standard error.
  init(isTerminal: Bool = Diagnostics.isTerminal) { self.isTerminal = isTerminal }

  /// Takes one event.
  func observe(_ event: TrainingEvent) {
    switch event {
    case .resumed(let log, _):
      for entry in log {
        if let loss = entry["eval_loss"] { progress.add(evaluationLoss: loss, step: entry.step) }
      }
    case .rowLosses: break
    case .started(let totalSteps, let trainedParameters, let rows):
      progress.totalSteps = totalSteps
      Diagnostics.notice(
        "\(rows) rows, \(totalSteps) steps, \(grouped(trainedParameters)) trained parameters")
    case .step(let step):
      progress.add(
        step: step.step, totalSteps: step.totalSteps, loss: step.loss,
        tokensPerSecond: step.tokensPerSecond, seconds: step.seconds)
      progress.epoch = step.epoch
      progress.learningRate = step.learningRate
      progress.gradientNorm = step.gradientNorm
      progress.memoryByteCount = ProcessMemory.peakResidentByteCount
      if isTerminal { redraw() }
    case .logged(let entry):
      guard !isTerminal, entry["loss"] != nil else { return }
      Diagnostics.notice(
        progress.line(
          step: entry.step, epoch: entry["epoch"], loss: entry["loss"],
          gradientNorm: entry["grad_norm"], learningRate: entry["learning_rate"],
          tokensPerSecond: entry["tokens_per_second"]))
    case .evaluated(let entry):
      if let loss = entry["eval_loss"] { progress.add(evaluationLoss: loss, step: entry.step) }
      let figures = entry.values.filter { $0.key.utf8.starts(with: "eval_".utf8) }.map {
        "\(String($0.key.dropFirst(5))) \(significant($0.value))"
      }
      Diagnostics.notice("step \(entry.step), evaluation: \(figures.joined(separator: ", "))")
    case .sampled(let answers):
      for answer in answers.prefix(3) {
        Diagnostics.notice(
          "step \(answer.step), \(String(answer.prompt.prefix(60))) → \(String(answer.text.prefix(200)))"
        )
      }
      if answers.count > 3 { Diagnostics.notice("and \(answers.count - 3) more in samples.jsonl") }
    case .stoppedEarly(let step, let bestStep, let bestLoss):
      Diagnostics.notice(
        "step \(step): stopping early, the lowest evaluation loss was "
          + "\(fixed(bestLoss, digits: 4)) at step \(bestStep)")
    case .restoredBest(let path, let step):
      Diagnostics.notice("the result is that of step \(step), from \(path)")
    case .saved(let path, let step): Diagnostics.notice("step \(step): saved \(path)")
    case .notice(let text): Diagnostics.notice(text)
    case .finished(let summary):
      end()
      Diagnostics.notice(
        "\(summary.steps) steps in \(duration(summary.seconds)): mean loss "
          + "\(fixed(summary.trainLoss, digits: 4)), \(fixed(summary.tokensPerSecond, digits: 0)) tokens/s, "
          + "peak memory \(fixed(Double(summary.peakMemoryByteCount) / 0x1p30, digits: 2)) GiB")
    }
  }

  /// Takes the moving rows away.
  func end() { if isTerminal { Diagnostics.showStatus([]) } }

  /// Draws at most ten times a second.
  private func redraw() {
    let now = ContinuousClock.now
    if let lastRedraw, now - lastRedraw < .milliseconds(100), !progress.isComplete { return }
    lastRedraw = now
    let size = Diagnostics.terminalSize
    Diagnostics.showStatus(
      progress.rows(columnCount: size.columns, rowCount: size.rows, isUnicode: isUnicode))
  }
}
