// Which rows are in which micro-batch of which step. The order is a function of the seed and the epoch alone, so a
// resumed run needs no more than the number of its step.

import Tensor

/// The order of the data over a run.
package struct BatchPlan: Sendable {
  private let rowCount, batchSize, accumulation: Int
  private let shuffle: Bool
  private let seed: UInt64
  /// Optimizer steps of the whole run.
  package let totalSteps: Int

  /// The plan of `rowCount` > 0 rows.
  package init(rowCount: Int, config: TrainingConfig) {
    precondition(rowCount > 0, "BatchPlan: no rows")
    self.rowCount = rowCount
    batchSize = config.perDeviceTrainBatchSize
    accumulation = config.gradientAccumulationSteps
    shuffle = config.shuffle
    seed = config.seed
    let micros = (rowCount + batchSize - 1) / batchSize
    let updates = (micros + accumulation - 1) / accumulation
    totalSteps =
      config.maxSteps ?? max(1, Int((config.numTrainEpochs * Double(updates)).rounded(.up)))
  }

  /// Micro-batches of an epoch; the last may be smaller.
  package var microBatchesPerEpoch: Int { (rowCount + batchSize - 1) / batchSize }

  /// Optimizer steps of an epoch; the last may be shorter.
  package var stepsPerEpoch: Int { (microBatchesPerEpoch + accumulation - 1) / accumulation }

  /// Rows of epoch `epoch` (from 0) in the order in which they are visited.
  package func order(epoch: Int) -> [Int] {
    var rows = Array(0..<rowCount)
    if shuffle {
      var random = RandomSequence(RandomStream(seed: seed, purpose: .shuffle, offset: epoch))
      rows.shuffle(using: &random)
    }
    return rows
  }

  /// The micro-batches of step `step` (from 0), given the order of its epoch.
  package func microBatches(step: Int, order: [Int]) -> [[Int]] {
    let first = step % stepsPerEpoch * accumulation
    return (first..<min(first + accumulation, microBatchesPerEpoch)).map { micro in
      Array(order[micro * batchSize..<min((micro + 1) * batchSize, rowCount)])
    }
  }

  /// The micro-batches of the whole run in their order, as rows of `units`; the first `limit` of them.
  package func microBatches(of units: [[Int]], limit: Int) -> [[[Int]]] {
    var steps: [[[Int]]] = []
    var (count, order) = (0, [Int]())
    var step = 0
    while step < totalSteps && count < limit {
      if step % stepsPerEpoch == 0 { order = self.order(epoch: step / stepsPerEpoch) }
      steps.append(
        microBatches(step: step, order: order).map { micro in micro.flatMap { units[$0] } })
      count += steps[steps.count - 1].count
      step += 1
    }
    return steps
  }

  /// Whether step `step` (from 0) is the last of its epoch, or of the run.
  package func isEpochEnd(_ step: Int) -> Bool {
    (step + 1) % stepsPerEpoch == 0 || step + 1 == totalSteps
  }

  /// Epochs done after step `step` (from 0), with the fraction of the current one.
  package func epoch(after step: Int) -> Double {
    let inEpoch = step % stepsPerEpoch
    let micros = min((inEpoch + 1) * accumulation, microBatchesPerEpoch)
    return Double(step / stepsPerEpoch) + Double(micros) / Double(microBatchesPerEpoch)
  }
}
