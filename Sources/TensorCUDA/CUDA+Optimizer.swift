// AdamW and the norm that clipping needs.

import Glibc

package import Tensor

/// Coefficients of a step as the kernel takes them.
private struct AdamWArgument: BitwiseCopyable {
  let beta1, beta2, rest1, rest2, decay, stepSize, correction, epsilon: Double

  init(_ step: AdamWStep) {
    (beta1, beta2) = (step.beta1, step.beta2)
    (rest1, rest2) = (1 - step.beta1, 1 - step.beta2)
    decay = 1 - step.learningRate * step.weightDecay
    stepSize = step.learningRate / (1 - pow(step.beta1, Double(step.step)))
    correction = (1 - pow(step.beta2, Double(step.step))).squareRoot()
    epsilon = step.epsilon
  }
}

extension CUDABackend: OptimizerKernels {
  package func adamW(
    parameter: Destination, gradient: Operand, firstMoment: Destination, secondMoment: Destination,
    step: AdamWStep
  ) {
    precondition(
      parameter.dtype.isFloatingPoint && gradient.dtype == parameter.dtype.accumulation,
      "adamW: no kernel for \(gradient.dtype.rawValue) into \(parameter.dtype.rawValue)")
    launch(
      Kernel("training", "adamw", parameter.dtype, gradient.dtype), grid: blocks(parameter.count),
      parameter.pointer, gradient.pointer, firstMoment.pointer, secondMoment.pointer,
      Int64(parameter.count), AdamWArgument(step))
  }

  package func squaredNorm(_ x: Operand, into y: Destination) {
    precondition(y.dtype == .float64, "squaredNorm: result is \(y.dtype.rawValue)")
    total(x, squared: true, into: y)
  }
}
