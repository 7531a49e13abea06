// A linear map with a frozen weight in 4 bits (Dettmers et al. 2023) or in 12 without loss, with and without a low-rank adapter. The
// weight is unpacked tile by tile, in forward and again in backward; nothing dense is kept.

package import Tensor

/// y = x·unpack(W)ᵀ + b, and with an adapter + s·(drop(x)·Aᵀ)·Bᵀ.  x [N, C], W [F, C] → y [N, F]
///
/// Inputs: x, with an adapter A [R, C] and B [F, R], with a bias b [F]. The weight is no input: it has no gradient. Keeps
/// what the adapter needs, and nothing without one.
package struct PackedLinearMap: Primitive, Deferrable {
  package static let name = "packed_linear"
  let weight: PackedWeight
  let hasBias: Bool
  let adapter: LowRankPart?

  /// A map by `weight` [F, C].
  package init(weight: PackedWeight, hasBias: Bool, adapter: LowRankPart? = nil) {
    self.weight = weight
    self.hasBias = hasBias
    self.adapter = adapter
  }

  /// What backward needs.
  package struct Residuals {
    var adapter: LowRankPart.Residuals?
  }

  private var biasIndex: Int { adapter == nil ? 1 : 3 }

  package func forward(_ x: [Tensor], needs: GradientMask) -> (output: Tensor, residuals: Residuals)
  {
    let kept = adapter?.residuals(x[0], x[1], x[2])
    let lowRank = kept.flatMap { adapter?.term($0) }
    var y = Tensor.matmul(x[0], packed: weight, transposeWeight: true, plus: lowRank)
    if hasBias { y.addRow(x[biasIndex].cast(to: x[0].dtype)) }
    return (y, Residuals(adapter: kept))
  }

  package func outputShape(_ x: [Shape]) -> Shape { x[0].replacingLast(with: weight.shape[0]) }

  package func residuals(_ x: [Variable], needs: GradientMask) -> Residuals {
    Residuals(adapter: adapter?.residuals(x[0].value, x[1].value, x[2].value))
  }

  /// dx = dy·unpack(W) + the adapter's;  db = Σ_n dy
  package func backward(
    _ dy: Tensor, _ kept: consuming Residuals, into gradients: inout InputGradients
  ) {
    var kept = kept
    var inner: LowRankPart.InnerGradient?
    if let residuals = kept.adapter.take() {
      inner = adapter?.factorGradients(dy, consume residuals, a: 1, into: &gradients)
    }
    if let adapter, let inner {
      adapter.inputGradient(dy, weight, inner, into: &gradients)
    } else {
      gradients.accumulateMatmul(0, dy, packed: weight)
    }
    if hasBias { gradients.accumulateRows(biasIndex, of: dy) }
  }
}
