// Head and loss as one primitive on the trained positions; logits never exist whole, and backward has nothing to do
// but scale, since the gradient is computed while a chunk of logits is at hand.

public import Tensor

/// What the loss saw besides its value.
public struct LossStatistics: Sendable {
  /// −log p of every trained token, [M] in the accumulation type, in the order of `rows`.
  public let nll: Tensor
  /// 1 where the trained token was the most likely one, uint8 [M].
  public let isCorrect: Tensor
}

/// loss = Σ_m nll_m · scale,  nll_m = −log softmax(hidden[rows[m]]·Wᵀ)[targets[m]]
///
/// hidden [N, C], W [V, C], rows and targets int32 [M], of which ``ignoredTarget`` counts for nothing, scale one number in the
/// accumulation type of hidden → scalar. Keeps the gradients of its inputs.
package struct LinearCrossEntropy: Primitive {
  package static let name = "linear_cross_entropy"
  let rows, targets, scale: Tensor
  let observe: Observer

  /// Receives the statistics during forward.
  package final class Observer: @unchecked Sendable {
    // Safety: written and read on the thread that owns the tape.
    /// What was observed; nil before forward.
    package var statistics: LossStatistics?
    /// Nothing observed yet.
    package init() {}
  }

  /// The loss of `targets` at `rows`, times `scale`.
  package init(rows: Tensor, targets: Tensor, scale: Tensor, observe: Observer) {
    self.rows = rows
    self.targets = targets
    self.scale = scale
    self.observe = observe
  }

  /// What backward needs.
  package struct Residuals {
    let hiddenShape: Shape
    let dHidden, dWeight: Tensor?
  }

  package func forward(_ x: [Tensor], needs: GradientMask) -> (output: Tensor, residuals: Residuals)
  {
    let result = Tensor.linearCrossEntropy(
      hidden: x[0].gatheredRows(rows), weight: x[1].factor(for: x[0].dtype), targets: targets,
      scale: scale, needsHidden: needs[0], needsWeight: needs[1])
    observe.statistics = LossStatistics(nll: result.nll, isCorrect: result.isCorrect)
    return (
      result.nll.sum() * scale.reshaped([]),
      Residuals(hiddenShape: x[0].shape, dHidden: result.dHidden, dWeight: result.dWeight)
    )
  }

  /// dHidden[rows[m]] = dy·scale·(softmax − onehot)·W,  dW = dy·scale·(softmax − onehot)ᵀ·hidden
  package func backward(_ dy: Tensor, _ kept: Residuals, into gradients: inout InputGradients) {
    // Asking for the number would wait for the device.
    let factor = gradients.startsFromOne ? 1 : (try? dy.item()) ?? .nan
    if let dHidden = kept.dHidden {
      gradients.accumulateScattered(
        0, dy: factor == 1 ? dHidden : dHidden.scaled(by: factor), ids: rows,
        shape: kept.hiddenShape)
    }
    if let dWeight = kept.dWeight {
      gradients.accumulate(1, factor == 1 ? dWeight : dWeight.scaled(by: factor))
    }
  }
}

/// The scaled sum of the cross-entropy at the selected rows, and what it saw on the way.
///
/// hidden [N, C], weight [V, C], rows and targets int32 [M] → scalar loss = scale·Σ_m nll_m
public func linearCrossEntropy(
  hidden: Variable, weight: Variable, rows: Tensor, targets: Tensor, scale: Double
) -> (loss: Variable, statistics: LossStatistics) {
  let scale = Tensor.full([1], scale, dtype: hidden.dtype.accumulation, like: hidden.value)
  return linearCrossEntropy(
    hidden: hidden, weight: weight, rows: rows, targets: targets, scale: scale)
}

/// The same with the scale in the device's memory: one number in the accumulation type of hidden.
package func linearCrossEntropy(
  hidden: Variable, weight: Variable, rows: Tensor, targets: Tensor, scale: Tensor
) -> (loss: Variable, statistics: LossStatistics) {
  let observer = LinearCrossEntropy.Observer()
  let loss = hidden.tape.record(
    LinearCrossEntropy(rows: rows, targets: targets, scale: scale, observe: observer),
    [hidden, weight])
  guard let statistics = observer.statistics else {
    preconditionFailure("linearCrossEntropy: forward left no statistics")
  }
  return (loss, statistics)
}
