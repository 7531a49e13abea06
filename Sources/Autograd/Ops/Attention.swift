// Causal attention as a primitive; scores are recomputed in backward, only log Σ exp is kept of them.

package import Tensor

/// softmax(scale·q·kᵀ)·v within documents and not into the future (Dao 2023 for the backward rule).
///
/// q [N, H, D], k and v [M, K, D] → [N, H, D]. Keeps q, k, v, the output and logSumExp [H, N].
package struct Attend: Recallable {
  package static let name = "attention"
  let scale: Double
  let documents: [Int]?
  let keyOffset: Int

  /// Attention with scores times `scale` within `documents`.
  package init(scale: Double, documents: [Int]?, keyOffset: Int) {
    self.scale = scale
    self.documents = documents
    self.keyOffset = keyOffset
  }

  /// What backward needs.
  package struct Residuals {
    let q, k, v, out, logSumExp: Tensor
  }

  package func forward(_ x: [Tensor], needs: GradientMask) -> (output: Tensor, residuals: Residuals)
  {
    let (out, logSumExp) = Tensor.attention(
      q: x[0], k: x[1], v: x[2], scale: scale, documents: documents, keyOffset: keyOffset)
    return (out, Residuals(q: x[0], k: x[1], v: x[2], out: out, logSumExp: logSumExp))
  }

  package func kept(_ output: Tensor, _ residuals: Residuals) -> [Tensor] {
    [output, residuals.logSumExp]
  }

  package func residuals(_ x: [Tensor], kept: [Tensor]) -> Residuals {
    Residuals(q: x[0], k: x[1], v: x[2], out: kept[0], logSumExp: kept[1])
  }

  package func backward(_ dy: Tensor, _ kept: Residuals, into gradients: inout InputGradients) {
    precondition(keyOffset == 0, "attention: gradients need the keys of all queries (keyOffset 0)")
    let (dq, dk, dv) = Tensor.attentionBackward(
      dOut: dy, q: kept.q, k: kept.k, v: kept.v, out: kept.out, logSumExp: kept.logSumExp,
      scale: scale, documents: documents)
    gradients.accumulate(0, dq)
    gradients.accumulate(1, dk)
    gradients.accumulate(2, dv)
  }
}

/// Causal attention within documents.  q [N, H, D], k and v [M, K, D] → [N, H, D]
///
/// H is a multiple of K: query head h reads key/value head h / (H/K). `documents` are cumulative token offsets
/// [0, …, M] (nil: one document); `keyOffset` is the index of the first query among the keys.
public func attention(
  _ q: Variable, _ k: Variable, _ v: Variable, scale: Double, documents: [Int]? = nil,
  keyOffset: Int = 0
) -> Variable {
  q.tape.record(Attend(scale: scale, documents: documents, keyOffset: keyOffset), [q, k, v])
}
