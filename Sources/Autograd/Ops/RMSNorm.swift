// RMSNorm as a primitive. The kernels are in Tensor/CPU/CPU+Norm.swift; this file is only the calculus.

package import Tensor

/// Root-mean-square normalisation over the last axis (Zhang & Sennrich 2019; HF `Qwen3RMSNorm`).
///
/// y = x·rstd·w,  rstd = 1 / √(mean_c x² + ε).  x [.., C], weight [C] → y like x
/// Statistics are float32 for every type of x but float64. Keeps x, weight and rstd [N].
package struct RMSNormalize: Primitive {
  package static let name = "rms_norm"
  let epsilon: Double
  /// A norm that adds `epsilon` to the mean square.
  package init(epsilon: Double) { self.epsilon = epsilon }

  package func forward(_ x: [Tensor], needs: GradientMask) -> (
    output: Tensor, residuals: (x: Tensor, weight: Tensor, rstd: Tensor)
  ) {
    let weight = x[1].cast(to: x[0].dtype)
    let (y, rstd) = x[0].rmsNorm(weight: weight, epsilon: epsilon)
    return (y, (x[0], weight, rstd))
  }

  /// With g = dy ⊙ w, x̂ = x·rstd:  dx = rstd·(g − x̂·mean(g ⊙ x̂)),  dw = Σ_n dy ⊙ x̂
  package func backward(
    _ dy: Tensor, _ kept: (x: Tensor, weight: Tensor, rstd: Tensor),
    into gradients: inout InputGradients
  ) {
    let (dx, dWeight) = Tensor.rmsNormBackward(
      dy: dy, x: kept.x, weight: kept.weight, rstd: kept.rstd, needsWeight: gradients.needs[1])
    gradients.accumulate(0, dx)
    if let dWeight { gradients.accumulate(1, dWeight) }
  }
}
