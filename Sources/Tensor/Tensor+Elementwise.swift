// Elementwise arithmetic. Shapes must be equal: broadcasting a row is `addingRow`.

extension Tensor {
  /// y = op(x), element by element.
  package func mapped(_ op: UnaryOp) -> Tensor {
    let y = Tensor(uninitialized: shape, dtype, backend: backend)
    launch(self, y) { backend.unary(op, operand, into: y.destination) }
    return y
  }

  /// y = op(self, other), element by element; shapes and types must be the same.
  package func combined(_ op: BinaryOp, _ other: Tensor) -> Tensor {
    precondition(
      shape == other.shape && dtype == other.dtype,
      "\(op): operands differ, got \(shape) \(dtype.rawValue) and \(other.shape) \(other.dtype.rawValue)"
    )
    let backend = commonBackend(self, other, "elementwise")
    let y = Tensor(uninitialized: shape, dtype, backend: backend)
    launch(self, other, y) { backend.binary(op, operand, other.operand, into: y.destination) }
    return y
  }

  /// a + b, element by element.
  public static func + (a: Tensor, b: Tensor) -> Tensor { a.combined(.add, b) }
  /// a − b, element by element.
  public static func - (a: Tensor, b: Tensor) -> Tensor { a.combined(.subtract, b) }
  /// a ⊙ b, element by element.
  public static func * (a: Tensor, b: Tensor) -> Tensor { a.combined(.multiply, b) }
  /// a / b, element by element.
  public static func / (a: Tensor, b: Tensor) -> Tensor { a.combined(.divide, b) }

  /// −x.
  public func negated() -> Tensor { mapped(.negate) }
  /// eˣ.
  public func exponential() -> Tensor { mapped(.exponential) }
  /// 1 / (1 + e⁻ˣ).
  public func sigmoid() -> Tensor { mapped(.sigmoid) }
  /// √x.
  public func squareRoot() -> Tensor { mapped(.squareRoot) }
  /// x·σ(x).
  public func silu() -> Tensor { mapped(.silu) }

  /// α·x.
  public func scaled(by alpha: Double) -> Tensor {
    let y = Tensor(uninitialized: shape, dtype, backend: backend)
    launch(self, y) { backend.scale(operand, by: alpha, into: y.destination) }
    return y
  }

  /// x ← α·x.
  public mutating func scale(by alpha: Double) {
    makeUnique()
    launch(self) { backend.scale(operand, by: alpha, into: destination) }
  }

  /// x ← x + α·other, in place when nobody else holds the storage. `other` may be of another float type.
  public mutating func accumulate(_ other: Tensor, scale alpha: Double = 1) {
    precondition(count == other.count, "accumulate: \(other.shape) into \(shape)")
    makeUnique()
    let backend = commonBackend(self, other, "accumulate")
    launch(self, other) { backend.axpy(alpha, other.operand, into: destination) }
  }

  /// x[n, c] + row[c].  x [N, C], row [C] → [N, C]
  public func addingRow(_ row: Tensor) -> Tensor {
    precondition(
      row.count == columnCount && row.dtype == dtype, "addingRow: \(row.shape) to \(shape)")
    let y = Tensor(uninitialized: shape, dtype, backend: backend)
    launch(self, row, y) {
      backend.binary(
        .add, operand, row: row.operand, rows: rowCount, columns: columnCount, into: y.destination)
    }
    return y
  }

  /// x[n, c] ← x[n, c] + row[c].
  package mutating func addRow(_ row: Tensor) {
    precondition(row.count == columnCount && row.dtype == dtype, "addRow: \(row.shape) to \(shape)")
    makeUnique()
    launch(self, row) {
      backend.binary(
        .add, operand, row: row.operand, rows: rowCount, columns: columnCount, into: destination)
    }
  }

  /// x[n, c]·row[c].  x [N, C], row [C] → [N, C]
  package func multipliedByRow(_ row: Tensor) -> Tensor {
    precondition(
      row.count == columnCount && row.dtype == dtype, "multipliedByRow: \(row.shape) and \(shape)")
    let y = Tensor(uninitialized: shape, dtype, backend: backend)
    launch(self, row, y) {
      backend.binary(
        .multiply, operand, row: row.operand, rows: rowCount, columns: columnCount,
        into: y.destination)
    }
    return y
  }

  /// silu(gate) ⊙ up.
  package static func swiGLU(gate: Tensor, up: Tensor) -> Tensor {
    precondition(
      gate.shape == up.shape && gate.dtype == up.dtype,
      "swiGLU: \(gate.shape) \(gate.dtype.rawValue) and \(up.shape) \(up.dtype.rawValue)")
    let backend = commonBackend(gate, up, "swiGLU")
    let y = Tensor(uninitialized: gate.shape, gate.dtype, backend: backend)
    launch(gate, up, y) {
      backend.swiGLU(gate: gate.operand, up: up.operand, into: y.destination)
    }
    return y
  }

  /// gate and up ← their gradients of `swiGLU`, in place where nobody else holds them.
  package static func formSwiGLUGradients(dy: Tensor, gate: inout Tensor, up: inout Tensor) {
    precondition(
      dy.shape == gate.shape && gate.shape == up.shape && dy.dtype == gate.dtype
        && gate.dtype == up.dtype,
      "swiGLUBackward: \(dy.shape) \(dy.dtype.rawValue) for \(gate.shape) \(gate.dtype.rawValue)")
    let backend = commonBackend(gate, up, "swiGLUBackward")
    gate.makeUnique()
    up.makeUnique()
    launch(dy, gate, up) {
      backend.swiGLUBackward(
        dy: dy.operand, gate: gate.operand, up: up.operand, dGate: gate.destination,
        dUp: up.destination)
    }
  }

  /// self ← self·mask/(1 − p), in place where nobody else holds the storage.
  package mutating func dropOut(probability: Double, stream: RandomStream) {
    makeUnique()
    launch(self) {
      backend.dropout(operand, probability: probability, stream: stream, into: destination)
    }
  }

  /// x·mask/(1 − p) with a mask that depends on the stream alone.
  package func droppedOut(probability: Double, stream: RandomStream) -> Tensor {
    let y = Tensor(uninitialized: shape, dtype, backend: backend)
    launch(self, y) {
      backend.dropout(operand, probability: probability, stream: stream, into: y.destination)
    }
    return y
  }
}
