// One micro-batch: forward and loss on a tape, ready for backward.

package import Autograd
package import QwenModel
package import Tensor

/// The forward pass of a micro-batch.
package struct TrainingPass {
  /// Where it is recorded.
  package let tape: Tape
  /// The scaled sum of the cross-entropy of the trained tokens.
  package let loss: Variable
  /// What the loss saw, the rows that count first.
  package let statistics: LossStatistics

  /// Runs `batch` through `model` and the loss; `onHidden` is called between the two.
  package init(
    _ model: QwenModel, _ batch: TrainingBatch, randomness: Randomness? = nil,
    checkpointing: Checkpointing, scale: Double, onHidden: () -> Void = {}
  ) {
    self.init(
      model, batch, randomness: randomness, checkpointing: checkpointing,
      scale: Self.scale(scale, for: model), onHidden: onHidden)
  }

  /// The same with the factor of the loss in the device's memory; see ``scale(_:for:)``.
  package init(
    _ model: QwenModel, _ batch: TrainingBatch, randomness: Randomness?,
    checkpointing: Checkpointing, scale: Tensor, onHidden: () -> Void = {}
  ) {
    tape = Tape(randomness: randomness)
    let hidden = model.hidden(batch.tokens, on: tape, checkpointing: checkpointing)
    onHidden()
    (loss, statistics) = linearCrossEntropy(
      hidden: hidden, weight: tape.leaf(model.headWeight), rows: batch.rows,
      targets: batch.targets, scale: scale)
  }

  /// A factor of the loss as passes of `model` take it.
  package static func scale(_ scale: Double, for model: QwenModel) -> Tensor {
    let dtype = (model.computeDType ?? model.reference.dtype).accumulation
    return Tensor.full([1], scale, dtype: dtype, like: model.reference)
  }

  /// Adds the gradients to those of the parameters.
  package func backward() { tape.backward(from: loss) }
}
