// Where a run stands, in words. Plain values in, text out.

/// The progress of a training run.
package struct TrainingProgress: Sendable {
  /// The last step, from 1.
  package private(set) var step = 0
  /// The steps of the run; 0 while unknown.
  package var totalSteps = 0
  /// Passes over the data so far, the rate and the gradient norm of the last step.
  package var epoch = 0.0, learningRate = 0.0, gradientNorm = 0.0
  /// The most memory that the process has had, in bytes.
  package var memoryByteCount = 0
  private var trend = LossTrend()
  private var lastEvaluation: (loss: Double, step: Int)?, bestEvaluation: (loss: Double, step: Int)?
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
    trend.add(loss)
    (self.step, self.totalSteps, self.loss) = (step, totalSteps, loss)
    let share = isFirst ? 1 : 0.1
    if seconds.isFinite, seconds >= 0 { secondsPerStep += share * (seconds - secondsPerStep) }
    if tokensPerSecond.isFinite {
      self.tokensPerSecond += share * (tokensPerSecond - self.tokensPerSecond)
    }
  }

  /// Notes an evaluation.
  package mutating func add(evaluationLoss loss: Double, step: Int) {
    lastEvaluation = (loss, step)
    if bestEvaluation.map({ loss < $0.loss }) ?? true { bestEvaluation = (loss, step) }
  }

  /// Whether the last step is done.
  package var isComplete: Bool { totalSteps > 0 && step >= totalSteps }

  /// Seconds until the end, as the last steps went.
  package var secondsLeft: Double { Double(max(0, totalSteps - step)) * secondsPerStep }

  /// The state at a glance on a terminal of so many columns and rows: where the run stands, what it learns, what it
  /// costs. Small terminals get one row.
  package func rows(columnCount: Int, rowCount: Int, isUnicode: Bool) -> [String] {
    guard columnCount >= 40, rowCount >= 6 else { return [row(columnCount: columnCount)] }
    let arrows = isUnicode ? ["↓", "→", "↑"] : ["falling", "level", "rising"]
    let spark = isUnicode ? trend.sparkline(width: 16) : ""
    var learning = ["loss \(fixed(trend.recent ?? loss, digits: 4)) \(arrows[trend.direction + 1])"]
    if !spark.isEmpty { learning[0] += " " + spark }
    learning += [
      "epoch \(fixed(epoch, digits: 2))", "learning rate \(significant(learningRate))",
      "grad norm \(significant(gradientNorm))",
    ]
    var cost: [String] = []
    if let last = lastEvaluation, let best = bestEvaluation {
      let isBest = best.step == last.step
      cost.append(
        "evaluation \(fixed(last.loss, digits: 4)) at step \(last.step)"
          + (isBest ? ", the lowest" : ", lowest \(fixed(best.loss, digits: 4)) at \(best.step)"))
    }
    cost += [
      "\(fixed(tokensPerSecond, digits: 0)) tokens/s",
      "memory \(fixed(Double(memoryByteCount) / 0x1p30, digits: 2)) GiB",
    ]
    return [
      progressRow(columnCount: columnCount, isUnicode: isUnicode),
      Self.fitted(learning, columnCount: columnCount),
      Self.fitted(cost, columnCount: columnCount),
    ]
  }

  /// Step, share, bar and time left.
  private func progressRow(columnCount: Int, isUnicode: Bool) -> String {
    let share = totalSteps > 0 ? min(1, max(0, Double(step) / Double(totalSteps))) : 0
    let head = "step \(step)/\(totalSteps)  \(Int(share * 100)) % "
    let tail = " \(duration(secondsLeft)) left"
    let width = min(columnCount - 1 - head.count - tail.count, 60)
    guard width >= 4 else { return String((head + tail).prefix(max(0, columnCount - 1))) }
    let filled = Int(share * Double(width))
    let (full, empty) = isUnicode ? ("━", "┄") : ("#", "-")
    return head + String(repeating: full, count: filled)
      + String(repeating: empty, count: width - filled) + tail
  }

  /// As many of `parts` as fit, the first ones.
  private static func fitted(_ parts: [String], columnCount: Int) -> String {
    var text = ""
    for part in parts {
      let longer = text.isEmpty ? part : text + "   " + part
      guard longer.count < columnCount else { break }
      text = longer
    }
    return text
  }

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
