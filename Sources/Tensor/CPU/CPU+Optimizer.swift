// AdamW and the norm that clipping needs.

extension CPUBackend: OptimizerKernels {
  package func adamW(_ updates: [AdamWUpdate]) {
    for update in updates {
      switch update.moments {
      case .full(let first, let second): adamW(update, first, second)
      case .in8Bits(let first, let second): adamW8Bit(update, first, second)
      }
    }
  }

  private func adamW(_ update: AdamWUpdate, _ first: Destination, _ second: Destination) {
    let (parameter, gradient, step) = (update.parameter, update.gradient, update.step)
    switch (parameter.dtype, gradient.dtype) {
    case (.float32, .float32):
      self.update(Float.self, Float.self, parameter, gradient, first, second, step)
    case (.float64, .float64):
      self.update(Double.self, Double.self, parameter, gradient, first, second, step)
    case (.bfloat16, .float32):
      self.update(BFloat16.self, Float.self, parameter, gradient, first, second, step)
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

  package func squaredNorms(_ xs: [Operand], into y: Destination) {
    precondition(
      y.dtype == .float64 && y.count == xs.count, "squaredNorms: result is \(y.dtype.rawValue)")
    for (index, x) in xs.enumerated() {
      dispatch(x.dtype, SquaredNormKernel(x: x, y: y.slice(index, 1), pool: pool), "squaredNorms")
    }
  }

  package func scaleAll(_ xs: [Destination], by alpha: Double) {
    for x in xs { scale(x.operand, by: alpha, into: x) }
  }
}
