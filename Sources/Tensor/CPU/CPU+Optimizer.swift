// AdamW and the norm that clipping needs.

extension CPUBackend: OptimizerKernels {
  package func adamW(
    parameter: Destination, gradient: Operand, firstMoment: Destination, secondMoment: Destination,
    step: AdamWStep
  ) {
    switch (parameter.dtype, gradient.dtype) {
    case (.float32, .float32):
      update(Float.self, Float.self, parameter, gradient, firstMoment, secondMoment, step)
    case (.float64, .float64):
      update(Double.self, Double.self, parameter, gradient, firstMoment, secondMoment, step)
    case (.bfloat16, .float32):
      update(BFloat16.self, Float.self, parameter, gradient, firstMoment, secondMoment, step)
    default:
      preconditionFailure(
        "adamW: no kernel for \(gradient.dtype.rawValue) into \(parameter.dtype.rawValue)")
    }
  }

  private func update<P: KernelElement, G: KernelElement>(
    _ p: P.Type, _ g: G.Type, _ parameter: Destination, _ gradient: Operand,
    _ firstMoment: Destination, _ secondMoment: Destination, _ step: AdamWStep
  ) where P.Compute == G.Compute {
    typealias C = P.Compute
    let (parameter, gradient) = (parameter.pointer(P.self), gradient.pointer(G.self))
    let (first, second) = (firstMoment.pointer(C.self), secondMoment.pointer(C.self))
    let f = AdamWFactors<C>(step)
    parallelFor(firstMoment.count, grain: 8192) { range in
      var i = range.lowerBound
      while i + 8 <= range.upperBound {
        let g = G.load(gradient + i)
        let m = C.load(first + i) * f.beta1 + g * f.rest1
        let v = C.load(second + i) * f.beta2 + g * g * f.rest2
        C.store(m, first + i)
        C.store(v, second + i)
        let value = P.load(parameter + i) * f.decay
        P.store(
          value - f.stepSize * (m / (C.squareRoot(v) / f.correction + f.epsilon)), parameter + i)
        i += 8
      }
      while i < range.upperBound {
        let g = gradient[i].compute
        let m = first[i] * f.beta1 + g * f.rest1
        let v = second[i] * f.beta2 + g * g * f.rest2
        first[i] = m
        second[i] = v
        let value = parameter[i].compute * f.decay
        parameter[i] = P(
          compute: value - f.stepSize * (m / (v.squareRoot() / f.correction + f.epsilon)))
        i += 1
      }
    }
  }

  package func squaredNorm(_ x: Operand, into y: Destination) {
    precondition(y.dtype == .float64, "squaredNorm: result is \(y.dtype.rawValue)")
    dispatch(x.dtype, SquaredNormKernel(x: x, y: y, pool: pool), "squaredNorm")
  }
}
