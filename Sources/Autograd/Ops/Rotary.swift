// Rotary position embedding as a primitive.

package import Tensor

/// Half-rotation of the first 2R dims of every head by the angle of its token's position (Su et al. 2021; HF
/// `apply_rotary_pos_emb`).  x [N, H, D], cos and sin [P, R], positions int32 [N] → y [N, H, D]. Keeps nothing.
package struct Rotate: Primitive {
  package static let name = "rotary"
  let cos, sin, positions: Tensor

  /// A rotation by the angles of `positions`.
  package init(cos: Tensor, sin: Tensor, positions: Tensor) {
    self.cos = cos
    self.sin = sin
    self.positions = positions
  }

  package func forward(_ x: [Tensor], needs: GradientMask) -> (output: Tensor, residuals: Void) {
    (x[0].rotated(cos: cos, sin: sin, positions: positions), ())
  }

  /// A rotation's transpose is its inverse.
  package func backward(_ dy: Tensor, _ residuals: Void, into gradients: inout InputGradients) {
    gradients.accumulate(
      0, dy.rotated(cos: cos, sin: sin, positions: positions, inverse: true))
  }
}

/// RMSNorm of every head and its rotation in one pass over memory: `Rotate` of `RMSNormalize`, with its roundings.
///
/// x [N, H, D], weight [D] → y [N, H, D]. Keeps x, weight and rstd [N·H].
package struct NormalizeAndRotate: Primitive {
  package static let name = "rms_norm_rotary"
  let rotation: Rotate
  let epsilon: Double

  /// A norm that adds `epsilon` to the mean square, and `rotation`.
  package init(epsilon: Double, rotation: Rotate) {
    self.epsilon = epsilon
    self.rotation = rotation
  }

  package func forward(_ x: [Tensor], needs: GradientMask) -> (
    output: Tensor, residuals: (x: Tensor, weight: Tensor, rstd: Tensor)
  ) {
    let weight = x[1].cast(to: x[0].dtype)
    let (y, rstd) = x[0].rotatedNormalized(
      weight: weight, epsilon: epsilon, cos: rotation.cos, sin: rotation.sin,
      positions: rotation.positions)
    return (y, (x[0], weight, rstd))
  }

  /// With d = dy rotated back, g = d ⊙ w, x̂ = x·rstd:  dx = rstd·(g − x̂·mean(g ⊙ x̂)),  dw = Σ d ⊙ x̂
  package func backward(
    _ dy: Tensor, _ kept: (x: Tensor, weight: Tensor, rstd: Tensor),
    into gradients: inout InputGradients
  ) {
    let (dx, dWeight) = kept.x.rotatedNormalizedBackward(
      dy: dy, weight: kept.weight, rstd: kept.rstd, cos: rotation.cos, sin: rotation.sin,
      positions: rotation.positions, needsWeight: gradients.needs[1])
    gradients.accumulate(0, dx)
    if let dWeight { gradients.accumulate(1, dWeight) }
  }
}
