// One micro-batch: forward and loss on a tape, ready for backward.

package import Autograd
package import QwenModel
import Tensor

/// The forward pass of a micro-batch.
package struct TrainingPass {
  /// Where it is recorded.
  package let tape: Tape
  /// The scaled sum of the cross-entropy of the trained tokens.
  package let loss: Variable
  /// What the loss saw.
  package let statistics: LossStatistics

  /// Runs `batch` through `model` and the loss; `onHidden` is called between the two.
  package init(
    _ model: QwenModel, _ batch: TrainingBatch, randomness: Randomness? = nil,
    checkpointing: Checkpointing, scale: Double, onHidden: () -> Void = {}
  ) {
    tape = Tape(randomness: randomness)
    let hidden = model.hidden(batch.tokens, on: tape, checkpointing: checkpointing)
    onHidden()
    (loss, statistics) = linearCrossEntropy(
      hidden: hidden, weight: tape.leaf(model.headWeight), rows: batch.rows,
      targets: batch.targets, scale: scale)
  }

  /// Adds the gradients to those of the parameters.
  package func backward() { tape.backward(from: loss) }
}
