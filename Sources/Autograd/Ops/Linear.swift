// Linear maps, with and without a low-rank adapter. They compute in the type of x: weights of another type are
// converted, their gradients are in the accumulation type. Gradients are added into the sums that are there already by the
// matrix product itself, so q, k and v cost no extra pass over dx.

package import Tensor

/// y = x·Wᵀ + b.  x [N, C], W [F, C], b [F] → y [N, F]
///
/// Inputs: x, W and, with `hasBias`, b. Keeps x only when W is trained, W only when x needs a gradient.
package struct LinearMap: Primitive {
  package static let name = "linear"
  let hasBias: Bool
  /// A map with or without a bias.
  package init(hasBias: Bool) { self.hasBias = hasBias }

  package func forward(_ x: [Tensor], needs: GradientMask) -> (
    output: Tensor, residuals: (x: Tensor?, weight: Tensor?)
  ) {
    let weight = x[1].cast(to: x[0].dtype)
    var y = Tensor.matmul(x[0], weight, transposeB: true)
    if hasBias { y.addRow(x[2].cast(to: x[0].dtype)) }
    return (y, (needs[1] ? x[0] : nil, needs[0] ? weight : nil))
  }

  /// dx = dy·W, dW = dyᵀ·x, db = Σ_n dy
  package func backward(
    _ dy: Tensor, _ kept: (x: Tensor?, weight: Tensor?), into gradients: inout InputGradients
  ) {
    if let weight = kept.weight { gradients.accumulateMatmul(0, dy, weight) }
    if let x = kept.x {
      gradients.accumulateMatmul(1, dy, transposeA: true, x, ofWeight: true)
    }
    if hasBias { gradients.accumulateRows(2, of: dy) }
  }
}

/// y = x·Wᵀ + b + s·(drop(x)·Aᵀ)·Bᵀ (Hu et al. 2022; PEFT `lora.Linear`).
///
/// x [N, C], W [F, C], b [F], A [R, C], B [F, R] → y [N, F]. Inputs: x, W, A, B and, with `hasBias`, b.
/// Keeps x and h = drop(x)·Aᵀ [N, R]; the dropout mask is drawn again in backward.
package struct LoRALinearMap: Primitive {
  package static let name = "lora_linear"
  let hasBias: Bool
  let scale: Double
  let dropout: (probability: Double, stream: RandomStream)?

  /// A map with an adapter of factor `scale`.
  package init(hasBias: Bool, scale: Double, dropout: (probability: Double, stream: RandomStream)?)
  {
    self.hasBias = hasBias
    self.scale = scale
    self.dropout = dropout
  }

  /// What backward needs.
  package struct Residuals {
    let x, h, weight, a, b: Tensor
  }

  package func forward(_ x: [Tensor], needs: GradientMask) -> (output: Tensor, residuals: Residuals)
  {
    let input = x[0]
    let (weight, a, b) = (
      x[1].cast(to: input.dtype), x[2].cast(to: input.dtype), x[3].cast(to: input.dtype)
    )
    var y = Tensor.matmul(input, weight, transposeB: true)
    if hasBias { y.addRow(x[4].cast(to: input.dtype)) }
    let h = Tensor.matmul(dropped(input), a, transposeB: true)  // [N, R]
    y.accumulateMatmul(h, b, transposeB: true, alpha: scale)
    return (y, Residuals(x: input, h: h, weight: weight, a: a, b: b))
  }

  /// dh = s·dy·B;  dB = s·dyᵀ·h;  dA = dhᵀ·drop(x);  dx = dy·W + drop(dh·A);  dW = dyᵀ·x;  db = Σ_n dy
  package func backward(_ dy: Tensor, _ kept: Residuals, into gradients: inout InputGradients) {
    let dh = Tensor.matmul(dy, kept.b, alpha: scale)  // [N, R]
    gradients.accumulateMatmul(0, dy, kept.weight)
    if dropout == nil {
      gradients.accumulateMatmul(0, dh, kept.a)
    } else {
      gradients.accumulate(0, dropped(Tensor.matmul(dh, kept.a)))
    }
    gradients.accumulateMatmul(1, dy, transposeA: true, kept.x, ofWeight: true)
    if gradients.needs[2] {
      gradients.accumulateMatmul(2, dh, transposeA: true, dropped(kept.x), ofWeight: true)
    }
    gradients.accumulateMatmul(
      3, dy, transposeA: true, kept.h, alpha: scale, ofWeight: true)
    if hasBias { gradients.accumulateRows(4, of: dy) }
  }

  private func dropped(_ x: Tensor) -> Tensor {
    guard let dropout else { return x }
    return x.droppedOut(probability: dropout.probability, stream: dropout.stream)
  }
}
