// Softmax cross-entropy of a chunk of logits, with the gradient written over them.

extension CPUBackend: LossKernels {
  package func crossEntropy(
    logits: Destination, targets: Operand, rows: Int, columns: Int, gradientScale: Double?,
    nll: Destination, isCorrect: Destination
  ) {
    dispatch(
      logits.dtype,
      CrossEntropyKernel(
        logits: logits, targets: targets, rows: rows, columns: columns,
        gradientScale: gradientScale, nll: nll, isCorrect: isCorrect), "crossEntropy")
  }
}

private struct CrossEntropyKernel: FloatKernel {
  let logits: Destination
  let targets: Operand
  let rows: Int
  let columns: Int
  let gradientScale: Double?
  let nll: Destination
  let isCorrect: Destination

  @inline(__always)
  func run<T: KernelElement>(_ type: T.Type) {
    let (base, targets) = (logits.pointer(T.self), targets.pointer(Int32.self))
    let (nll, isCorrect) = (nll.pointer(T.Compute.self), isCorrect.pointer(UInt8.self))
    let (columns, gradientScale) = (columns, gradientScale)
    parallelFor(rows, grain: 1) { range in
      for m in range {
        let row = base + m * columns
        let target = Int(targets[m])
        precondition(
          target >= 0 && target < columns, "crossEntropy: target \(target) of \(columns)")
        let largest = maximum(of: row, columns)
        // Σ exp(x − max): eight lanes, flushed into a Double every 4096 columns.
        var total = 0.0
        var start = 0
        while start < columns {
          let end = min(columns, start + 4096)
          var lanes = SIMD8<T.Compute>.zero
          var c = start
          while c + 8 <= end {
            lanes += T.Compute.exponential(T.load(UnsafePointer(row) + c) - largest)
            c += 8
          }
          total += Double(lanes.sum())
          while c < end {
            total += Double(T.Compute.exponential(row[c].compute - largest))
            c += 1
          }
          start = end
        }
        let logSum = T.Compute.logarithm(T.Compute(total))
        let targetLogit = row[target].compute
        nll[m] = logSum - (targetLogit - largest)
        isCorrect[m] = targetLogit == largest && isFirst(row, target, largest) ? 1 : 0
        if let gradientScale {
          let scale = T.Compute(gradientScale)
          writeGradient(row, columns, largest, T.Compute(1 / total), scale)
          // From the logit, not from what was just written: a bfloat16 is rounded once.
          let p = T.Compute.exponential(targetLogit - largest) * T.Compute(1 / total)
          row[target] = T(compute: (p - 1) * scale)
        }
      }
    }
  }

  @inline(__always)
  private func maximum<T: KernelElement>(of row: UnsafeMutablePointer<T>, _ columns: Int)
    -> T.Compute
  {
    var lanes = SIMD8<T.Compute>(repeating: row[0].compute)
    var c = 0
    while c + 8 <= columns {
      lanes = T.Compute.larger(lanes, T.load(UnsafePointer(row) + c))
      c += 8
    }
    var largest = lanes[0]
    for lane in 1..<8 where lanes[lane] > largest { largest = lanes[lane] }
    while c < columns {
      if row[c].compute > largest { largest = row[c].compute }
      c += 1
    }
    return largest
  }

  /// Whether no column before `target` has the same value (the argmax is the lowest index).
  @inline(__always)
  private func isFirst<T: KernelElement>(
    _ row: UnsafeMutablePointer<T>, _ target: Int, _ value: T.Compute
  ) -> Bool {
    for c in 0..<target where row[c].compute == value { return false }
    return true
  }

  @inline(__always)
  private func writeGradient<T: KernelElement>(
    _ row: UnsafeMutablePointer<T>, _ columns: Int, _ largest: T.Compute, _ inverse: T.Compute,
    _ scale: T.Compute
  ) {
    let factor = inverse * scale
    var c = 0
    while c + 8 <= columns {
      T.store(
        T.Compute.exponential(T.load(UnsafePointer(row) + c) - largest) * factor, row + c)
      c += 8
    }
    while c < columns {
      row[c] = T(compute: T.Compute.exponential(row[c].compute - largest) * factor)
      c += 1
    }
  }
}
