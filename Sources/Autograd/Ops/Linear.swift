// Linear maps, with and without a low-rank adapter. They compute in the type of x: weights of another type are
// converted, their gradients are in the accumulation type. Gradients are added into the sums that are there already by the
// matrix product itself, so q, k and v cost no extra pass over dx.

package import Tensor

/// y = x·Wᵀ + b.  x [N, C], W [F, C], b [F] → y [N, F]
///
/// Inputs: x, W (of the type of x or a narrower one) and, with `hasBias`, b. Keeps x only when W is trained, W only when x
/// needs a gradient.
package struct LinearMap: Primitive, Deferrable {
  package static let name = "linear"
  let hasBias: Bool
  /// A map with or without a bias.
  package init(hasBias: Bool) { self.hasBias = hasBias }

  package func forward(_ x: [Tensor], needs: GradientMask) -> (
    output: Tensor, residuals: (x: Tensor?, weight: Tensor?)
  ) {
    let weight = x[1].factor(for: x[0].dtype)
    var y = Tensor.matmul(x[0], weight: weight, transposeWeight: true)
    if hasBias { y.addRow(x[2].cast(to: x[0].dtype)) }
    return (y, (needs[1] ? x[0] : nil, needs[0] ? weight : nil))
  }

  package func outputShape(_ x: [Shape]) -> Shape { x[0].replacingLast(with: x[1][0]) }

  package func residuals(_ x: [Variable], needs: GradientMask) -> (x: Tensor?, weight: Tensor?) {
    (needs[1] ? x[0].value : nil, needs[0] ? x[1].value.factor(for: x[0].dtype) : nil)
  }

  /// dx = dy·W, dW = dyᵀ·x, db = Σ_n dy
  package func backward(
    _ dy: Tensor, _ kept: (x: Tensor?, weight: Tensor?), into gradients: inout InputGradients
  ) {
    if let weight = kept.weight { gradients.accumulateMatmul(0, dy, weight: weight) }
    if let x = kept.x {
      gradients.accumulateMatmul(1, dy, transposeA: true, x, ofWeight: true)
    }
    if hasBias { gradients.accumulateRows(2, of: dy) }
  }
}

/// y = x·Wᵀ + b + s·(drop(x)·Aᵀ)·Bᵀ.
///
/// x [N, C], W [F, C], b [F], A [R, C], B [F, R] → y [N, F]. Inputs: x, W, A, B and, with `hasBias`, b.
/// Keeps x and drop(x)·Aᵀ [N, R].
package struct LoRALinearMap: Primitive, Deferrable {
  package static let name = "lora_linear"
  let hasBias: Bool
  let adapter: LowRankPart

  /// A map with an adapter.
  package init(hasBias: Bool, adapter: LowRankPart) {
    self.hasBias = hasBias
    self.adapter = adapter
  }

  /// What backward needs.
  package struct Residuals {
    let weight: Tensor
    var adapter: LowRankPart.Residuals?
  }

  package func forward(_ x: [Tensor], needs: GradientMask) -> (output: Tensor, residuals: Residuals)
  {
    let weight = x[1].factor(for: x[0].dtype)
    let kept = adapter.residuals(x[0], x[2], x[3])
    var y = Tensor.matmul(
      x[0], packed: .narrow(weight), transposeWeight: true, plus: adapter.term(kept))
    if hasBias { y.addRow(x[4].cast(to: x[0].dtype)) }
    return (y, Residuals(weight: weight, adapter: kept))
  }

  package func outputShape(_ x: [Shape]) -> Shape { x[0].replacingLast(with: x[1][0]) }

  package func residuals(_ x: [Variable], needs: GradientMask) -> Residuals {
    Residuals(
      weight: x[1].value.factor(for: x[0].dtype),
      adapter: adapter.residuals(x[0].value, x[2].value, x[3].value))
  }

  /// dx = dy·W + the adapter's;  dW = dyᵀ·x;  db = Σ_n dy
  package func backward(
    _ dy: Tensor, _ kept: consuming Residuals, into gradients: inout InputGradients
  ) {
    var kept = kept
    guard let residuals = kept.adapter.take() else { return }
    gradients.accumulateMatmul(1, dy, transposeA: true, residuals.x, ofWeight: true)
    let inner = adapter.factorGradients(dy, consume residuals, a: 2, into: &gradients)
    adapter.inputGradient(dy, .narrow(kept.weight), inner, into: &gradients)
    if hasBias { gradients.accumulateRows(4, of: dy) }
  }
}
