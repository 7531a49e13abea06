// The parts of weight-decomposed adaptation that LoRA does not have: dropout as an operation of its own, and a
// trained magnitude for every output of a linear map.

package import Tensor

/// y = x·mask / (1 − p), the mask drawn from the stream.  x [..] → like x. Keeps nothing: the mask is drawn again.
package struct Dropout: Primitive {
  package static let name = "dropout"
  let probability: Double
  let stream: RandomStream

  /// Dropout of elements with `probability`.
  package init(probability: Double, stream: RandomStream) {
    self.probability = probability
    self.stream = stream
  }

  package func forward(_ x: [Tensor], needs: GradientMask) -> (output: Tensor, residuals: Void) {
    (x[0].droppedOut(probability: probability, stream: stream), ())
  }

  /// dx = dy·mask / (1 − p)
  package func backward(_ dy: Tensor, _: Void, into gradients: inout InputGradients) {
    gradients.accumulate(0, dy.droppedOut(probability: probability, stream: stream))
  }
}

/// y = (m / n) ⊙ v + b: every output of a map gets its own length (Liu et al. 2024, equation 5).
///
/// v [N, F], m [F], b [F] → y [N, F]. Inputs: v, m and, with `hasBias`, b. The norms n [F] are constants, as section 4.3
/// of the paper has them. m, n and b may be of another float type than v. Keeps v where m is trained, and m / n.
package struct MagnitudeScaling: Primitive {
  package static let name = "magnitude_scaling"
  let norms: Tensor
  let hasBias: Bool

  /// A scaling of directions of length `norms` [F].
  package init(norms: Tensor, hasBias: Bool) {
    self.norms = norms
    self.hasBias = hasBias
  }

  package func forward(_ x: [Tensor], needs: GradientMask) -> (
    output: Tensor, residuals: (v: Tensor?, factors: Tensor)
  ) {
    let factors = (x[1] / norms.cast(to: x[1].dtype)).cast(to: x[0].dtype)
    var y = x[0].multipliedByRow(factors)
    if hasBias { y.addRow(x[2].cast(to: y.dtype)) }
    return (y, (needs[1] ? x[0] : nil, factors))
  }

  /// dv = (m / n) ⊙ dy;  dm = Σ_n dy ⊙ v / n;  db = Σ_n dy
  package func backward(
    _ dy: Tensor, _ kept: (v: Tensor?, factors: Tensor), into gradients: inout InputGradients
  ) {
    gradients.accumulate(0, dy.multipliedByRow(kept.factors))
    if let v = kept.v {
      let wide = dy.dtype.accumulation
      let sums = (dy.cast(to: wide) * v.cast(to: wide)).sumOfRows()
      gradients.accumulate(1, sums / norms.cast(to: sums.dtype))
    }
    if hasBias { gradients.accumulateRows(2, of: dy) }
  }
}

/// A weight-decomposed linear map (Liu et al. 2024; PEFT `DoraLinearLayer`), whatever its weight is kept in.
///
/// y = (x − u)·Wᵀ + b + (m / n) ⊙ u·(W + s·B·A)ᵀ with u = drop(x): PEFT's base(x) + (m / n − 1) ⊙ base(u) + (m / n) ⊙ s·B(A(u)),
/// in which dropout reaches the base weight as well. Without dropout u is x and the first term is none.
/// x [N, C], magnitude m and norms n [F], b [F] → [N, F]. `adapted` maps u to u·(W + s·B·A)ᵀ, `base` maps to ·Wᵀ.
package func weightDecomposedMap(
  _ x: Variable, magnitude: Variable, norms: Tensor, bias: Variable?,
  dropout: (probability: Double, stream: RandomStream)?, adapted: (Variable) -> Variable,
  base: (Variable) -> Variable
) -> Variable {
  let tape = x.tape
  let scaling = MagnitudeScaling(norms: norms, hasBias: bias != nil)
  let last = bias.map { [$0] } ?? []
  guard let dropout else { return tape.record(scaling, [adapted(x), magnitude] + last) }
  let u = tape.record(
    Dropout(probability: dropout.probability, stream: dropout.stream), [x])  // [N, C]
  let y = tape.record(scaling, [adapted(u), magnitude] + last)  // [N, F]
  return y + base(x + u.scaled(by: -1))
}
