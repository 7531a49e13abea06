// Elementwise kernels: one dispatch on the type per call, eight lanes at a time below it.

extension CPUBackend: ElementwiseKernels {
  package func unary(_ op: UnaryOp, _ x: Operand, into y: Destination) {
    switch op {
    case .negate: dispatch(x.dtype, Map<Negate>(x: x, y: y), "unary")
    case .exponential: dispatch(x.dtype, Map<Exponential>(x: x, y: y), "unary")
    case .sigmoid: dispatch(x.dtype, Map<Sigmoid>(x: x, y: y), "unary")
    case .silu: dispatch(x.dtype, Map<SiLU>(x: x, y: y), "unary")
    case .square: dispatch(x.dtype, Map<Square>(x: x, y: y), "unary")
    case .squareRoot: dispatch(x.dtype, Map<SquareRoot>(x: x, y: y), "unary")
    }
  }

  package func binary(_ op: BinaryOp, _ a: Operand, _ b: Operand, into y: Destination) {
    switch op {
    case .add: dispatch(a.dtype, Zip<Add>(a: a, b: b, y: y), "binary")
    case .subtract: dispatch(a.dtype, Zip<Subtract>(a: a, b: b, y: y), "binary")
    case .multiply: dispatch(a.dtype, Zip<Multiply>(a: a, b: b, y: y), "binary")
    case .divide: dispatch(a.dtype, Zip<Divide>(a: a, b: b, y: y), "binary")
    }
  }

  package func axpy(_ alpha: Double, _ x: Operand, into y: Destination) {
    switch (x.dtype, y.dtype) {
    case (.float32, .float32): addScaled(Float.self, Float.self, alpha, x, y)
    case (.float64, .float64): addScaled(Double.self, Double.self, alpha, x, y)
    case (.bfloat16, .bfloat16): addScaled(BFloat16.self, BFloat16.self, alpha, x, y)
    case (.bfloat16, .float32): addScaled(BFloat16.self, Float.self, alpha, x, y)
    case (.float32, .bfloat16): addScaled(Float.self, BFloat16.self, alpha, x, y)
    default: preconditionFailure("axpy: no kernel for \(x.dtype.rawValue) into \(y.dtype.rawValue)")
    }
  }

  @inline(__always)
  private func addScaled<A: KernelElement, B: KernelElement>(
    _ a: A.Type, _ b: B.Type, _ alpha: Double, _ x: Operand, _ y: Destination
  ) where A.Compute == B.Compute {
    let (source, target) = (x.pointer(A.self), y.pointer(B.self))
    let factor = A.Compute(alpha)
    parallelFor(y.count, grain: CPUBackend.elementwiseGrain) { range in
      var i = range.lowerBound
      while i + 8 <= range.upperBound {
        B.store(B.load(target + i) + A.load(source + i) * factor, target + i)
        i += 8
      }
      while i < range.upperBound {
        target[i] = B(compute: target[i].compute + source[i].compute * factor)
        i += 1
      }
    }
  }

  package func scale(_ x: Operand, by alpha: Double, into y: Destination) {
    dispatch(x.dtype, ScaleKernel(x: x, alpha: alpha, y: y), "scale")
  }

  package func binary(
    _ op: BinaryOp, _ x: Operand, row: Operand, rows: Int, columns: Int, into y: Destination
  ) {
    func run<Op: LaneFunction2>(_ function: Op.Type) {
      dispatch(
        x.dtype, RowKernel<Op>(x: x, row: row, rows: rows, columns: columns, y: y), "binary of rows"
      )
    }
    switch op {
    case .add: run(Add.self)
    case .subtract: run(Subtract.self)
    case .multiply: run(Multiply.self)
    case .divide: run(Divide.self)
    }
  }

  package func swiGLU(gate: Operand, up: Operand, into y: Destination) {
    dispatch(gate.dtype, SwiGLUKernel(gate: gate, up: up, y: y), "swiGLU")
  }

  package func swiGLUBackward(
    dy: Operand, gate: Operand, up: Operand, dGate: Destination, dUp: Destination
  ) {
    dispatch(
      gate.dtype, SwiGLUBackwardKernel(dy: dy, gate: gate, up: up, dGate: dGate, dUp: dUp),
      "swiGLUBackward")
  }
}

private protocol LaneFunction {
  static func apply<C: KernelCompute>(_ x: SIMD8<C>) -> SIMD8<C>
}

private enum Negate: LaneFunction {
  @inline(__always) static func apply<C: KernelCompute>(_ x: SIMD8<C>) -> SIMD8<C> { -x }
}
private enum Exponential: LaneFunction {
  @inline(__always)
  static func apply<C: KernelCompute>(_ x: SIMD8<C>) -> SIMD8<C> { C.exponential(x) }
}
private enum Sigmoid: LaneFunction {
  @inline(__always)
  static func apply<C: KernelCompute>(_ x: SIMD8<C>) -> SIMD8<C> {
    1 / (1 + C.exponential(-x))
  }
}
private enum SiLU: LaneFunction {
  @inline(__always)
  static func apply<C: KernelCompute>(_ x: SIMD8<C>) -> SIMD8<C> {
    x / (1 + C.exponential(-x))
  }
}
private enum Square: LaneFunction {
  @inline(__always) static func apply<C: KernelCompute>(_ x: SIMD8<C>) -> SIMD8<C> { x * x }
}
private enum SquareRoot: LaneFunction {
  @inline(__always)
  static func apply<C: KernelCompute>(_ x: SIMD8<C>) -> SIMD8<C> { x.squareRoot() }
}

private struct Map<Op: LaneFunction>: FloatKernel {
  let x: Operand
  let y: Destination

  @inline(__always)
  func run<T: KernelElement>(_ type: T.Type) {
    let (source, target) = (x.pointer(T.self), y.pointer(T.self))
    parallelFor(y.count, grain: CPUBackend.elementwiseGrain) { range in
      var i = range.lowerBound
      while i + 8 <= range.upperBound {
        T.store(Op.apply(T.load(source + i)), target + i)
        i += 8
      }
      let rest = range.upperBound - i
      if rest > 0 { T.store(Op.apply(T.load(source + i, count: rest)), target + i, count: rest) }
    }
  }
}

private protocol LaneFunction2 {
  static func apply<C: KernelCompute>(_ a: SIMD8<C>, _ b: SIMD8<C>) -> SIMD8<C>
}

private enum Add: LaneFunction2 {
  @inline(__always)
  static func apply<C: KernelCompute>(_ a: SIMD8<C>, _ b: SIMD8<C>) -> SIMD8<C> { a + b }
}
private enum Subtract: LaneFunction2 {
  @inline(__always)
  static func apply<C: KernelCompute>(_ a: SIMD8<C>, _ b: SIMD8<C>) -> SIMD8<C> { a - b }
}
private enum Multiply: LaneFunction2 {
  @inline(__always)
  static func apply<C: KernelCompute>(_ a: SIMD8<C>, _ b: SIMD8<C>) -> SIMD8<C> { a * b }
}
private enum Divide: LaneFunction2 {
  @inline(__always)
  static func apply<C: KernelCompute>(_ a: SIMD8<C>, _ b: SIMD8<C>) -> SIMD8<C> { a / b }
}
private struct SwiGLUKernel: FloatKernel {
  let gate: Operand
  let up: Operand
  let y: Destination

  @inline(__always)
  func run<T: KernelElement>(_ type: T.Type) {
    let (gate, up, y) = (gate.pointer(T.self), up.pointer(T.self), y.pointer(T.self))
    parallelFor(self.y.count, grain: CPUBackend.elementwiseGrain) { range in
      let first = range.lowerBound
      T.swiGLU(gate: gate + first, up: up + first, into: y + first, count: range.count)
    }
  }
}

private struct Zip<Op: LaneFunction2>: FloatKernel {
  let a: Operand
  let b: Operand
  let y: Destination

  @inline(__always)
  func run<T: KernelElement>(_ type: T.Type) {
    let (left, right, target) = (a.pointer(T.self), b.pointer(T.self), y.pointer(T.self))
    parallelFor(y.count, grain: CPUBackend.elementwiseGrain) { range in
      var i = range.lowerBound
      while i + 8 <= range.upperBound {
        T.store(Op.apply(T.load(left + i), T.load(right + i)), target + i)
        i += 8
      }
      let rest = range.upperBound - i
      if rest > 0 {
        T.store(
          Op.apply(T.load(left + i, count: rest), T.load(right + i, count: rest)), target + i,
          count: rest)
      }
    }
  }
}

private struct ScaleKernel: FloatKernel {
  let x: Operand
  let alpha: Double
  let y: Destination

  @inline(__always)
  func run<T: KernelElement>(_ type: T.Type) {
    let (source, target) = (x.pointer(T.self), y.pointer(T.self))
    let factor = T.Compute(alpha)
    parallelFor(y.count, grain: CPUBackend.elementwiseGrain) { range in
      var i = range.lowerBound
      while i + 8 <= range.upperBound {
        T.store(T.load(source + i) * factor, target + i)
        i += 8
      }
      while i < range.upperBound {
        target[i] = T(compute: source[i].compute * factor)
        i += 1
      }
    }
  }
}

private struct RowKernel<Op: LaneFunction2>: FloatKernel {
  let x: Operand
  let row: Operand
  let rows: Int
  let columns: Int
  let y: Destination

  @inline(__always)
  func run<T: KernelElement>(_ type: T.Type) {
    let (source, other, target) = (x.pointer(T.self), row.pointer(T.self), y.pointer(T.self))
    let columns = columns
    parallelFor(rows, grain: CPUBackend.rowGrain(columns: columns)) { range in
      for n in range {
        let (from, to) = (source + n * columns, target + n * columns)
        var i = 0
        while i + 8 <= columns {
          T.store(Op.apply(T.load(from + i), T.load(other + i)), to + i)
          i += 8
        }
        let rest = columns - i
        if rest > 0 {
          T.store(
            Op.apply(T.load(from + i, count: rest), T.load(other + i, count: rest)), to + i,
            count: rest)
        }
      }
    }
  }
}

private struct SwiGLUBackwardKernel: FloatKernel {
  let dy: Operand
  let gate: Operand
  let up: Operand
  let dGate: Destination
  let dUp: Destination

  @inline(__always)
  func run<T: KernelElement>(_ type: T.Type) {
    let (dy, gate, up) = (dy.pointer(T.self), gate.pointer(T.self), up.pointer(T.self))
    let (dGate, dUp) = (dGate.pointer(T.self), dUp.pointer(T.self))
    parallelFor(self.dy.count, grain: CPUBackend.elementwiseGrain) { range in
      let first = range.lowerBound
      T.swiGLUBackward(
        dy: dy + first, gate: gate + first, up: up + first, dGate: dGate + first, dUp: dUp + first,
        count: range.count)
    }
  }
}
