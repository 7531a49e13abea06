// Rotary position embedding: half-rotation of every head by the angles of its token's position.

extension CPUBackend: RotaryKernels {
  package func rotate(
    _ x: Operand, cos: Operand, sin: Operand, positions: Operand, rows: Int, heads: Int,
    headDim: Int, rotaryHalf: Int, inverse: Bool, into y: Destination
  ) {
    dispatch(
      x.dtype,
      RotaryKernel(
        x: x, cos: cos, sin: sin, positions: positions, rows: rows, heads: heads, headDim: headDim,
        half: rotaryHalf, inverse: inverse, y: y), "rotate")
  }
}

private struct RotaryKernel: FloatKernel {
  let x: Operand
  let cos: Operand
  let sin: Operand
  let positions: Operand
  let rows: Int
  let heads: Int
  let headDim: Int
  let half: Int
  let inverse: Bool
  let y: Destination

  @inline(__always)
  func run<T: KernelElement>(_ type: T.Type) {
    precondition(
      cos.dtype == T.Compute.accumulationDType, "rotate: tables are \(cos.dtype.rawValue)")
    let (source, target) = (x.pointer(T.self), y.pointer(T.self))
    let (cosTable, sinTable) = (cos.pointer(T.Compute.self), sin.pointer(T.Compute.self))
    let positions = positions.pointer(Int32.self)
    let (heads, headDim, half) = (heads, headDim, half)
    let sign: T.Compute = inverse ? -1 : 1
    let tableRows = cos.count / max(half, 1)
    parallelFor(rows, grain: CPUBackend.rowGrain(columns: heads * headDim)) { range in
      for n in range {
        let position = Int(positions[n])
        precondition(
          position >= 0 && position < tableRows, "rotate: position \(position) of \(tableRows)")
        let (c, s) = (cosTable + position * half, sinTable + position * half)
        for h in 0..<heads {
          let (from, to) = (
            source + (n * heads + h) * headDim, target + (n * heads + h) * headDim
          )
          var i = 0
          while i + 8 <= half {
            let (first, second) = (T.load(from + i), T.load(from + half + i))
            let (cosine, sine) = (T.Compute.load(c + i), T.Compute.load(s + i) * sign)
            T.store(first * cosine - second * sine, to + i)
            T.store(second * cosine + first * sine, to + half + i)
            i += 8
          }
          while i < half {
            let (first, second) = (from[i].compute, from[half + i].compute)
            to[i] = T(compute: first * c[i] - second * s[i] * sign)
            to[half + i] = T(compute: second * c[i] + first * s[i] * sign)
            i += 1
          }
          for i in 2 * half..<max(headDim, 2 * half) { to[i] = from[i] }
        }
      }
    }
  }
}

extension KernelCompute {
  /// The element type of tables and statistics for kernels that compute in this type.
  static var accumulationDType: DType { self == Double.self ? .float64 : .float32 }
}
