// Elementwise kernels: sixteen bytes a thread.

package import Tensor

extension CUDABackend: ElementwiseKernels {
  package func unary(_ op: UnaryOp, _ x: Operand, into y: Destination) {
    requireFloat(x.dtype, "unary")
    let code: Int32 =
      switch op {
      case .negate: 0
      case .exponential: 1
      case .sigmoid: 2
      case .silu: 3
      case .square: 4
      case .squareRoot: 5
      }
    launch(
      Kernel("elementwise", "unary", x.dtype), grid: blocks(y.count, perThread: lanes(x.dtype)),
      code, x.pointer, y.pointer, Int64(y.count))
  }

  package func binary(_ op: BinaryOp, _ a: Operand, _ b: Operand, into y: Destination) {
    requireFloat(a.dtype, "binary")
    launch(
      Kernel("elementwise", "binary", a.dtype), grid: blocks(y.count, perThread: lanes(a.dtype)),
      code(op), a.pointer, b.pointer, y.pointer, Int64(y.count))
  }

  private func code(_ op: BinaryOp) -> Int32 {
    switch op {
    case .add: 0
    case .subtract: 1
    case .multiply: 2
    case .divide: 3
    }
  }

  package func axpy(_ alpha: Double, _ x: Operand, into y: Destination) {
    precondition(
      x.dtype.isFloatingPoint && y.dtype.isFloatingPoint
        && x.dtype.accumulation == y.dtype.accumulation,
      "axpy: no kernel for \(x.dtype.rawValue) into \(y.dtype.rawValue)")
    launch(
      Kernel("elementwise", "axpy", x.dtype, y.dtype), grid: blocks(y.count, perThread: 8),
      x.pointer, y.pointer, Int64(y.count), alpha)
  }

  package func scale(_ x: Operand, by alpha: Double, into y: Destination) {
    requireFloat(x.dtype, "scale")
    launch(
      Kernel("elementwise", "scale", x.dtype), grid: blocks(y.count, perThread: lanes(x.dtype)),
      x.pointer, y.pointer, Int64(y.count), alpha)
  }

  package func binary(
    _ op: BinaryOp, _ x: Operand, row: Operand, rows: Int, columns: Int, into y: Destination
  ) {
    requireFloat(x.dtype, "binary of rows")
    let grid = (x: blocks(columns, perThread: lanes(x.dtype)).x, y: min(rows, 65_535))
    launch(
      Kernel("elementwise", "row_binary", x.dtype), grid: grid, code(op), x.pointer, row.pointer,
      y.pointer, Int32(rows), Int32(columns))
  }

  package func swiGLU(gate: Operand, up: Operand, into y: Destination) {
    requireFloat(gate.dtype, "swiGLU")
    launch(
      Kernel("elementwise", "swiglu", gate.dtype),
      grid: blocks(y.count, perThread: lanes(gate.dtype)), gate.pointer, up.pointer, y.pointer,
      Int64(y.count))
  }

  package func swiGLUBackward(
    dy: Operand, gate: Operand, up: Operand, dGate: Destination, dUp: Destination
  ) {
    requireFloat(gate.dtype, "swiGLUBackward")
    launch(
      Kernel("elementwise", "swiglu_backward", gate.dtype),
      grid: blocks(dy.count, perThread: lanes(gate.dtype)), dy.pointer, gate.pointer, up.pointer,
      dGate.pointer, dUp.pointer, Int64(dy.count))
  }
}
