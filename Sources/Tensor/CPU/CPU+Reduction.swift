// Sums and argmax. Partial sums belong to fixed chunks and are added in order, so the thread count does not show.

extension CPUBackend: ReductionKernels {
  package func sumRows(
    _ x: Operand, rows: Int, columns: Int, beta: Double, into y: Destination
  ) {
    precondition(y.dtype == x.dtype.accumulation, "sumRows: result is \(y.dtype.rawValue)")
    dispatch(
      x.dtype, SumRowsKernel(x: x, rows: rows, columns: columns, beta: beta, y: y), "sumRows")
  }

  package func dotRows(
    _ a: Operand, _ b: Operand, rows: Int, columns: Int, into y: Destination
  ) {
    precondition(
      a.dtype == b.dtype && y.dtype == a.dtype.accumulation,
      "dotRows: result is \(y.dtype.rawValue)"
    )
    dispatch(
      a.dtype, DotRowsKernel(a: a, b: b, rows: rows, columns: columns, y: y), "dotRows")
  }

  package func sum(_ x: Operand, into y: Destination) {
    precondition(y.dtype == x.dtype.accumulation, "sum: result is \(y.dtype.rawValue)")
    dispatch(x.dtype, SumKernel(x: x, y: y, pool: pool), "sum")
  }

  package func argmaxRows(_ x: Operand, rows: Int, columns: Int, into y: Destination) {
    precondition(y.dtype == .int32 && columns > 0, "argmaxRows: result is \(y.dtype.rawValue)")
    dispatch(x.dtype, ArgmaxKernel(x: x, rows: rows, columns: columns, y: y), "argmaxRows")
  }
}

private struct SumRowsKernel: FloatKernel {
  let x: Operand
  let rows: Int
  let columns: Int
  let beta: Double
  let y: Destination

  @inline(__always)
  func run<T: KernelElement>(_ type: T.Type) {
    let (source, target) = (x.pointer(T.self), y.pointer(T.Compute.self))
    let (rows, columns, beta) = (rows, columns, T.Compute(beta))
    parallelFor(columns, grain: 64) { range in
      for c in range {
        target[c] = beta == 0 ? 0 : target[c] * beta
      }
      for n in 0..<rows {
        let row = source + n * columns
        var c = range.lowerBound
        while c + 8 <= range.upperBound {
          T.Compute.store(T.Compute.load(target + c) + T.load(row + c), target + c)
          c += 8
        }
        while c < range.upperBound {
          target[c] += row[c].compute
          c += 1
        }
      }
    }
  }
}

private struct DotRowsKernel: FloatKernel {
  let a: Operand
  let b: Operand
  let rows: Int
  let columns: Int
  let y: Destination

  @inline(__always)
  func run<T: KernelElement>(_ type: T.Type) {
    let (left, right) = (a.pointer(T.self), b.pointer(T.self))
    let (target, columns) = (y.pointer(T.Compute.self), columns)
    parallelFor(rows, grain: CPUBackend.rowGrain(columns: columns)) { range in
      for n in range {
        let (p, q) = (left + n * columns, right + n * columns)
        var lanes = SIMD8<T.Compute>.zero
        var i = 0
        while i + 8 <= columns {
          lanes += T.load(p + i) * T.load(q + i)
          i += 8
        }
        let rest = columns - i
        if rest > 0 { lanes += T.load(p + i, count: rest) * T.load(q + i, count: rest) }
        target[n] = lanes.sum()
      }
    }
  }
}

/// Σ f(x) over fixed chunks; f is the identity or the square, kept in the compute type per chunk and added in Double.
@inline(__always)
private func chunkedSum<T: KernelElement>(
  _ source: UnsafePointer<T>, count: Int, squared: Bool, pool: BufferPool
) -> Double {
  let grain = 4096
  let chunks = (count + grain - 1) / grain
  if chunks == 0 { return 0 }
  let partials = Scratch(Double.self, count: chunks, pool: pool)
  let partial = partials.pointer
  parallelFor(chunks, grain: 8) { range in
    for chunk in range {
      var lanes = SIMD8<T.Compute>.zero
      var i = chunk * grain
      let end = min(count, i + grain)
      while i + 8 <= end {
        let v = T.load(source + i)
        lanes += squared ? v * v : v
        i += 8
      }
      if i < end {
        let v = T.load(source + i, count: end - i)
        lanes += squared ? v * v : v
      }
      var total = 0.0
      for lane in 0..<8 { total += Double(lanes[lane]) }
      partial[chunk] = total
    }
  }
  var total = 0.0
  for chunk in 0..<chunks { total += partial[chunk] }
  return total
}

private struct SumKernel: FloatKernel {
  let x: Operand
  let y: Destination
  let pool: BufferPool

  @inline(__always)
  func run<T: KernelElement>(_ type: T.Type) {
    y.pointer(T.Compute.self)[0] = T.Compute(
      chunkedSum(x.pointer(T.self), count: x.count, squared: false, pool: pool))
  }
}

struct SquaredNormKernel: FloatKernel {
  let x: Operand
  let y: Destination
  let pool: BufferPool

  @inline(__always)
  func run<T: KernelElement>(_ type: T.Type) {
    y.pointer(Double.self)[0] = chunkedSum(
      x.pointer(T.self), count: x.count, squared: true, pool: pool)
  }
}

private struct ArgmaxKernel: FloatKernel {
  let x: Operand
  let rows: Int
  let columns: Int
  let y: Destination

  @inline(__always)
  func run<T: KernelElement>(_ type: T.Type) {
    let (source, target) = (x.pointer(T.self), y.pointer(Int32.self))
    let columns = columns
    parallelFor(rows, grain: CPUBackend.rowGrain(columns: columns)) { range in
      for n in range {
        let row = source + n * columns
        var (best, index) = (row[0].compute, 0)
        for c in 1..<max(columns, 1) where row[c].compute > best {
          (best, index) = (row[c].compute, c)
        }
        target[n] = Int32(index)
      }
    }
  }
}
