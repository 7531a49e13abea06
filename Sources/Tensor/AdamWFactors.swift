// What the kernels of AdamW multiply with, the same on every device.

import Glibc

/// The factors of a step in the forms that the update needs, each rounded once to the type it is computed in, as torch rounds its
/// scalars.
///
/// m ← β₁·m + rest₁·g; v ← β₂·v + rest₂·g²; p ← decay·p − stepSize·m / (√v / correction + ε). The kernels of CUDA take it as it is.
package struct AdamWFactors<C: BinaryFloatingPoint & Sendable>: Sendable {
  package let beta1, beta2, rest1, rest2, decay, stepSize, correction, epsilon: C

  /// The factors of `step`.
  package init(_ step: AdamWStep) {
    (beta1, beta2) = (C(step.beta1), C(step.beta2))
    (rest1, rest2) = (C(1 - step.beta1), C(1 - step.beta2))
    decay = C(1 - step.learningRate * step.weightDecay)
    stepSize = C(step.learningRate / (1 - pow(step.beta1, Double(step.step))))
    correction = C((1 - pow(step.beta2, Double(step.step))).squareRoot())
    epsilon = C(step.epsilon)
  }
}

extension AdamWFactors: BitwiseCopyable where C: BitwiseCopyable {}
