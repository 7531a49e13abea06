// Where a run stands, in words. Plain values in, text out.

/// The progress of a training run.
package struct TrainingProgress: Sendable {
  /// The last step, from 1.
  package private(set) var step = 0
  /// The steps of the run; 0 while unknown.
  package var totalSteps = 0
  private var loss = Double.nan
  private var tokensPerSecond = 0.0
  /// Moving mean of the time of a step, in seconds.
  private var secondsPerStep = 0.0

  /// A run that has not begun.
  package init() {}

  /// Counts one step.
  package mutating func add(
    step: Int, totalSteps: Int, loss: Double, tokensPerSecond: Double, seconds: Double
  ) {
    let isFirst = self.step == 0
    (self.step, self.totalSteps, self.loss) = (step, totalSteps, loss)
    let share = isFirst ? 1 : 0.1
    if seconds.isFinite, seconds >= 0 { secondsPerStep += share * (seconds - secondsPerStep) }
    if tokensPerSecond.isFinite {
      self.tokensPerSecond += share * (tokensPerSecond - self.tokensPerSecond)
    }
  }

  /// Whether the last step is done.
  package var isComplete: Bool { totalSteps > 0 && step >= totalSteps }

  /// Seconds until the end, as the last steps went.
  package var secondsLeft: Double { Double(max(0, totalSteps - step)) * secondsPerStep }

  /// One terminal row of fewer than `columnCount` columns.
  package func row(columnCount: Int) -> String {
    let head = "step \(step)/\(totalSteps) "
    let tail =
      " loss \(fixed(loss, digits: 4)), \(fixed(tokensPerSecond, digits: 0)) tokens/s, "
      + "\(duration(secondsLeft)) left"
    let available = columnCount - 1 - head.utf8.count - tail.utf8.count
    guard available >= 7 else { return String((head + tail).prefix(max(0, columnCount - 1))) }
    let width = min(available - 2, 40)
    let share = totalSteps > 0 ? min(1, max(0, Double(step) / Double(totalSteps))) : 0
    let filled = Int(share * Double(width))
    let bar = String(repeating: "#", count: filled) + String(repeating: "-", count: width - filled)
    return head + "[\(bar)]" + tail
  }

  /// An entry of the log as one line; what is nil is left out.
  package func line(
    step: Int, epoch: Double?, loss: Double?, gradientNorm: Double?, learningRate: Double?,
    tokensPerSecond: Double?
  ) -> String {
    var parts = [totalSteps > 0 ? "step \(step)/\(totalSteps)" : "step \(step)"]
    if let epoch { parts.append("epoch \(fixed(epoch, digits: 2))") }
    if let loss { parts.append("loss \(fixed(loss, digits: 4))") }
    if let gradientNorm { parts.append("grad norm \(significant(gradientNorm))") }
    if let learningRate { parts.append("learning rate \(significant(learningRate))") }
    if let tokensPerSecond { parts.append("\(fixed(tokensPerSecond, digits: 0)) tokens/s") }
    if step < totalSteps, self.step > 0 { parts.append("\(duration(secondsLeft)) left") }
    return parts.joined(separator: ", ")
  }
}
