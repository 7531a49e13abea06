// The low-rank part of a linear map (Hu et al. 2022; PEFT `lora.Linear`), shared by the primitives that fuse it with a
// weight.

package import Tensor

/// s·(drop(x)·Aᵀ)·Bᵀ.  x [N, C], A [R, C], B [F, R] → [N, F]
///
/// The dropout mask is drawn again in backward.
package struct LowRankPart: Sendable {
  let scale: Double
  let dropout: (probability: Double, stream: RandomStream)?

  /// A part of factor `scale`.
  package init(scale: Double, dropout: (probability: Double, stream: RandomStream)?) {
    self.scale = scale
    self.dropout = dropout
  }

  /// What backward needs.
  struct Residuals {
    let x, h, a, b: Tensor
  }

  /// The part as a term of the product with the weight: by itself it would be a pass over the result.
  func term(_ kept: Residuals) -> LowRankTerm { LowRankTerm(kept.h, kept.b, scale: scale) }

  /// What the part and its gradients are made of; h = drop(x)·Aᵀ [N, R].
  func residuals(_ x: Tensor, _ a: Tensor, _ b: Tensor) -> Residuals {
    let (a, b) = (a.cast(to: x.dtype), b.cast(to: x.dtype))
    return Residuals(x: x, h: Tensor.matmul(dropped(x), a, transposeB: true), a: a, b: b)
  }

  /// The gradient of the rank's numbers, and the factor by which it becomes that of x.
  struct InnerGradient {
    let dh, a: Tensor
  }

  /// dh = s·dy·B;  dB = s·dyᵀ·h;  dA = dhᵀ·drop(x)
  ///
  /// A is input `a` of the operation, B the next one. x is given up, before there is a dx: they may be the largest
  /// tensors of a block.
  func factorGradients(
    _ dy: Tensor, _ kept: consuming Residuals, a: Int, into gradients: inout InputGradients
  ) -> InnerGradient {
    let kept = kept
    let dh = Tensor.matmul(dy, kept.b, alpha: scale)  // [N, R]
    gradients.accumulateMatmul(
      a + 1, dy, transposeA: true, kept.h, alpha: scale, ofWeight: true)
    if gradients.needs[a] {
      gradients.accumulateMatmul(a, dh, transposeA: true, dropped(kept.x), ofWeight: true)
    }
    return InnerGradient(dh: dh, a: kept.a)
  }

  /// dx = dy·W + drop(dh·A), for x as input 0 of the operation.
  func inputGradient(
    _ dy: Tensor, _ weight: PackedWeight, _ inner: InnerGradient,
    into gradients: inout InputGradients
  ) {
    guard gradients.needs[0] else { return }
    guard let dropout else {
      gradients.accumulateMatmul(0, dy, packed: weight, plus: LowRankTerm(inner.dh, inner.a))
      return
    }
    // The product with the weight comes last: it has so much to compute that reading its result costs nothing.
    gradients.accumulate(0, Self.dropped(inner, dropout.probability, dropout.stream))
    gradients.accumulateMatmul(0, dy, packed: weight)
  }

  /// drop(dh·A): made and handed over, so that the sum holds it alone.
  private static func dropped(
    _ inner: InnerGradient, _ probability: Double, _ stream: RandomStream
  ) -> Tensor {
    var dx = Tensor.matmul(inner.dh, inner.a)
    dx.dropOut(probability: probability, stream: stream)
    return dx
  }

  private func dropped(_ x: Tensor) -> Tensor {
    guard let dropout else { return x }
    return x.droppedOut(probability: dropout.probability, stream: dropout.stream)
  }
}
