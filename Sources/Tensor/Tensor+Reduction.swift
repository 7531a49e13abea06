// Sums, norms and argmax.

extension Tensor {
  /// Σ of all elements, as a scalar tensor of the accumulation type.
  public func sum() -> Tensor {
    let y = Tensor(uninitialized: [], dtype.accumulation, backend: backend)
    launch(self, y) { backend.sum(operand, into: y.destination) }
    return y
  }

  /// Σ_n x[n, c] as [C] in the accumulation type.
  public func sumOfRows() -> Tensor {
    let y = Tensor(uninitialized: [columnCount], dtype.accumulation, backend: backend)
    launch(self, y) {
      backend.sumRows(operand, rows: rowCount, columns: columnCount, beta: 0, into: y.destination)
    }
    return y
  }

  /// self[c] ← self[c] + Σ_n x[n, c].
  package mutating func accumulateRows(of x: Tensor) {
    precondition(count == x.columnCount, "accumulateRows: \(x.shape) into \(shape)")
    makeUnique()
    launch(self, x) {
      backend.sumRows(
        x.operand, rows: x.rowCount, columns: x.columnCount, beta: 1, into: destination)
    }
  }

  /// Σ_c x[n, c]·y[n, c] as [N] in the accumulation type.
  package func dotOfRows(_ other: Tensor) -> Tensor {
    precondition(
      shape == other.shape && dtype == other.dtype,
      "dotOfRows: \(shape) \(dtype.rawValue) and \(other.shape) \(other.dtype.rawValue)")
    let backend = commonBackend(self, other, "dotOfRows")
    let y = Tensor(uninitialized: [rowCount], dtype.accumulation, backend: backend)
    launch(self, other, y) {
      backend.dotRows(
        operand, other.operand, rows: rowCount, columns: columnCount, into: y.destination)
    }
    return y
  }

  /// Index of the largest element of every row (the lowest on a tie), int32 [N].
  public func argmaxOfRows() -> Tensor {
    let y = Tensor(uninitialized: [rowCount], .int32, backend: backend)
    launch(self, y) {
      backend.argmaxRows(operand, rows: rowCount, columns: columnCount, into: y.destination)
    }
    return y
  }

  /// Σ x², as a float64 scalar.
  public func squaredNorm() -> Tensor {
    let y = Tensor(uninitialized: [], .float64, backend: backend)
    launch(self, y) { backend.squaredNorms([operand], into: y.destination) }
    return y
  }
}
