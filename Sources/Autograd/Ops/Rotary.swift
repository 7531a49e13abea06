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
