// RMSNorm forward and backward, one row at a time.

extension CPUBackend: NormKernels {
  package func rmsNorm(
    _ x: Operand, weight: Operand, epsilon: Double, rows: Int, columns: Int, into y: Destination,
    rstd: Destination
  ) {
    dispatch(
      x.dtype,
      NormKernel(
        x: x, weight: weight, epsilon: epsilon, rows: rows, columns: columns, y: y, rstd: rstd),
      "rmsNorm")
  }

  package func rmsNormBackward(
    dy: Operand, x: Operand, weight: Operand, rstd: Operand, rows: Int, columns: Int,
    dx: Destination, dWeight: Destination?
  ) {
    dispatch(
      x.dtype,
      NormBackwardKernel(
        dy: dy, x: x, weight: weight, rstd: rstd, rows: rows, columns: columns, dx: dx,
        dWeight: dWeight), "rmsNormBackward")
  }
}

/// Σ a·b over a row.
@inline(__always)
private func dot<T: KernelElement>(
  _ a: UnsafePointer<T>, _ b: UnsafePointer<T>, _ columns: Int
) -> T.Compute {
  var (first, second) = (SIMD8<T.Compute>.zero, SIMD8<T.Compute>.zero)
  var c = 0
  while c + 16 <= columns {
    first += T.load(a + c) * T.load(b + c)
    second += T.load(a + c + 8) * T.load(b + c + 8)
    c += 16
  }
  if c + 8 <= columns {
    first += T.load(a + c) * T.load(b + c)
    c += 8
  }
  if c < columns { second += T.load(a + c, count: columns - c) * T.load(b + c, count: columns - c) }
  return (first + second).sum()
}

/// The norm of one row.
enum NormRow {
  /// y ← x·rstd·w; returns rstd. y may be x.
  @inline(__always)
  static func normalize<T: KernelElement>(
    _ x: UnsafePointer<T>, _ weight: UnsafePointer<T>, _ columns: Int, _ epsilon: T.Compute,
    into y: UnsafeMutablePointer<T>
  ) -> T.Compute {
    let rstd = 1 / (dot(x, x, columns) / T.Compute(columns) + epsilon).squareRoot()
    var c = 0
    while c + 8 <= columns {
      T.store(T.load(x + c) * rstd * T.load(weight + c), y + c)
      c += 8
    }
    while c < columns {
      y[c] = T(compute: x[c].compute * rstd * weight[c].compute)
      c += 1
    }
    return rstd
  }

  /// dx ← rstd·(g − x̂·mean_c(g ⊙ x̂)) with g = dy ⊙ w and x̂ = x·rstd. dx may be dy.
  @inline(__always)
  static func gradient<T: KernelElement>(
    _ dy: UnsafePointer<T>, _ x: UnsafePointer<T>, _ weight: UnsafePointer<T>, _ columns: Int,
    rstd: T.Compute, into dx: UnsafeMutablePointer<T>
  ) {
    var lanes = SIMD8<T.Compute>.zero
    var c = 0
    while c + 8 <= columns {
      lanes += T.load(dy + c) * T.load(weight + c) * T.load(x + c)
      c += 8
    }
    if c < columns {
      let rest = columns - c
      lanes +=
        T.load(dy + c, count: rest) * T.load(weight + c, count: rest) * T.load(x + c, count: rest)
    }
    let mean = lanes.sum() * rstd * rstd / T.Compute(columns)
    c = 0
    while c + 8 <= columns {
      T.store((T.load(dy + c) * T.load(weight + c) - T.load(x + c) * mean) * rstd, dx + c)
      c += 8
    }
    while c < columns {
      dx[c] = T(compute: (dy[c].compute * weight[c].compute - x[c].compute * mean) * rstd)
      c += 1
    }
  }
}

private struct NormKernel: FloatKernel {
  let x: Operand
  let weight: Operand
  let epsilon: Double
  let rows: Int
  let columns: Int
  let y: Destination
  let rstd: Destination

  @inline(__always)
  func run<T: KernelElement>(_ type: T.Type) {
    let (source, weight, target) = (x.pointer(T.self), weight.pointer(T.self), y.pointer(T.self))
    let (rstd, columns) = (rstd.pointer(T.Compute.self), columns)
    let epsilon = T.Compute(epsilon)
    parallelFor(rows, grain: CPUBackend.rowGrain(columns: columns)) { range in
      for n in range {
        rstd[n] = NormRow.normalize(
          source + n * columns, weight, columns, epsilon, into: target + n * columns)
      }
    }
  }
}

/// With g = dy ⊙ w and x̂ = x·rstd:  dx = rstd·(g − x̂·mean_c(g ⊙ x̂)),  dWeight = Σ_n dy ⊙ x̂.
private struct NormBackwardKernel: FloatKernel {
  let dy: Operand
  let x: Operand
  let weight: Operand
  let rstd: Operand
  let rows: Int
  let columns: Int
  let dx: Destination
  let dWeight: Destination?

  @inline(__always)
  func run<T: KernelElement>(_ type: T.Type) {
    let (dyBase, xBase, weight) = (dy.pointer(T.self), x.pointer(T.self), weight.pointer(T.self))
    let (rstd, dxBase) = (rstd.pointer(T.Compute.self), dx.pointer(T.self))
    let (rows, columns) = (rows, columns)
    // Before dx, which may lie where dy does.
    if let dWeight = dWeight?.pointer(T.Compute.self) {
      parallelFor(columns, grain: 64) { range in
        for c in range { dWeight[c] = 0 }
        for n in 0..<rows {
          let (dy, x, scale) = (dyBase + n * columns, xBase + n * columns, rstd[n])
          var c = range.lowerBound
          while c + 8 <= range.upperBound {
            T.Compute.store(
              T.Compute.load(dWeight + c) + T.load(dy + c) * T.load(x + c) * scale, dWeight + c)
            c += 8
          }
          while c < range.upperBound {
            dWeight[c] += dy[c].compute * x[c].compute * scale
            c += 1
          }
        }
      }
    }
    parallelFor(rows, grain: CPUBackend.rowGrain(columns: columns)) { range in
      for n in range {
        NormRow.gradient(
          dyBase + n * columns, xBase + n * columns, weight, columns, rstd: rstd[n],
          into: dxBase + n * columns)
      }
    }
  }
}
