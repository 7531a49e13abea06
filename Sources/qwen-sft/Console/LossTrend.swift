// How the loss of a run goes, in a few characters.

/// The course of a loss.
package struct LossTrend: Sendable {
  /// Means of equally many steps each, oldest first.
  private var means: [Double] = []
  private var stepsPerMean = 1
  private var sum = 0.0, count = 0
  private var fast = 0.0, slow = 0.0, fastWeight = 0.0, slowWeight = 0.0

  /// A course without a step.
  package init() {}

  /// Adds the loss of a step.
  package mutating func add(_ loss: Double) {
    guard loss.isFinite else { return }
    fast += 0.1 * (loss - fast)
    fastWeight += 0.1 * (1 - fastWeight)
    slow += 0.02 * (loss - slow)
    slowWeight += 0.02 * (1 - slowWeight)
    sum += loss
    count += 1
    guard count == stepsPerMean else { return }
    means.append(sum / Double(count))
    (sum, count) = (0, 0)
    guard means.count == 48 else { return }
    means = stride(from: 0, to: means.count, by: 2).map { (means[$0] + means[$0 + 1]) / 2 }
    stepsPerMean *= 2
  }

  /// The mean of the last steps; nil without any.
  package var recent: Double? { fastWeight > 0 ? fast / fastWeight : nil }

  /// -1 where the loss falls, 1 where it rises, 0 where neither can be said.
  package var direction: Int {
    guard fastWeight > 0, slowWeight > 0.06, let recent else { return 0 }
    let change = recent - slow / slowWeight
    let limit = 0.005 * (slow / slowWeight).magnitude
    return change < -limit ? -1 : change > limit ? 1 : 0
  }

  /// The course in `width` characters at most, each one of eight heights; empty with fewer than four means.
  package func sparkline(width: Int) -> String {
    guard means.count >= 4, width > 0 else { return "" }
    let size = min(width, means.count)
    let values = (0..<size).map { column -> Double in
      let range = column * means.count / size..<(column + 1) * means.count / size
      return means[range].reduce(0, +) / Double(range.count)
    }
    guard let low = values.min(), let high = values.max(), high > low else { return "" }
    let blocks = Array("▁▂▃▄▅▆▇█")
    return String(values.map { blocks[min(7, Int(($0 - low) / (high - low) * 8))] })
  }
}
