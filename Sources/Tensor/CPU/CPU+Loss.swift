// Softmax cross-entropy of a chunk of logits, with the gradient written over them.

extension CPUBackend: LossKernels {
  package func crossEntropy(
    logits: Destination, targets: Operand, rows: Int, columns: Int, gradientScale: Operand?,
    nll: Destination, isCorrect: Destination
  ) {
    dispatch(
      logits.dtype,
      CrossEntropyKernel(
        logits: logits, targets: targets, rows: rows, columns: columns,
        gradientScale: gradientScale, nll: nll, isCorrect: isCorrect), "crossEntropy")
  }

  /// About 192 MB of logits in float32. The matrix products pack the weight once a chunk, so narrow chunks run at half the speed of wide
  /// ones.
  package func lossRows(vocabulary: Int, _ dtype: DType) -> Int {
    max(16, min(1024, (48 << 20) / max(vocabulary, 1)))
  }
}

private struct CrossEntropyKernel: FloatKernel {
  let logits: Destination
  let targets: Operand
  let rows: Int
  let columns: Int
  let gradientScale: Operand?
  let nll: Destination
  let isCorrect: Destination

  @inline(__always)
  func run<T: KernelElement>(_ type: T.Type) {
    let (base, targets) = (logits.pointer(T.self), targets.pointer(Int32.self))
    let (nll, isCorrect) = (nll.pointer(T.Compute.self), isCorrect.pointer(UInt8.self))
    let (columns, scale) = (columns, gradientScale?.pointer(T.Compute.self).pointee)
    parallelFor(rows, grain: CPUBackend.rowGrain(columns: columns)) { range in
      for m in range {
        let row = base + m * columns
        let target = Int(targets[m])
        if targets[m] == ignoredTarget {
          (nll[m], isCorrect[m]) = (0, 0)
          if scale != nil { row.update(repeating: T(compute: 0), count: columns) }
          continue
        }
        precondition(
          target >= 0 && target < columns, "crossEntropy: target \(target) of \(columns)")
        let largest = T.largest(of: row, count: columns)
        let total = T.sumOfExponentials(row, minus: largest, count: columns)
        let logSum = T.Compute.logarithm(T.Compute(total))
        let targetLogit = row[target].compute
        nll[m] = logSum - (targetLogit - largest)
        isCorrect[m] = targetLogit == largest && isFirst(row, target, largest) ? 1 : 0
        if let scale {
          T.scaleExponentials(
            row, minus: largest, by: T.Compute(1 / total) * scale, count: columns)
          // From the logit, not from what was just written: a bfloat16 is rounded once.
          let p = T.Compute.exponential(targetLogit - largest) * T.Compute(1 / total)
          row[target] = T(compute: (p - 1) * scale)
        }
      }
    }
  }

  /// Whether no column before `target` has the same value (the argmax is the lowest index).
  @inline(__always)
  private func isFirst<T: KernelElement>(
    _ row: UnsafeMutablePointer<T>, _ target: Int, _ value: T.Compute
  ) -> Bool {
    for c in 0..<target where row[c].compute == value { return false }
    return true
  }
}
