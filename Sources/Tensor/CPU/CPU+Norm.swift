// RMSNorm forward and backward, runs of rows at a time.

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
      let first = range.lowerBound * columns
      T.normalizeRows(
        source + first, weight, epsilon: epsilon, into: target + first,
        rstd: rstd + range.lowerBound, rows: range.count, columns: columns)
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
      let first = range.lowerBound * columns
      T.normalizeRowsBackward(
        dyBase + first, xBase + first, weight, rstd: rstd + range.lowerBound,
        into: dxBase + first, rows: range.count, columns: columns)
    }
  }
}
