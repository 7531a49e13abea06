// Sums and argmax. Shares of a sum depend on sizes only and are added in order.

package import Tensor

extension CUDABackend: ReductionKernels {
  package func sumRows(
    _ x: Operand, rows: Int, columns: Int, beta: Double, into y: Destination
  ) {
    precondition(y.dtype == x.dtype.accumulation, "sumRows: result is \(y.dtype.rawValue)")
    sumColumns(x, scaledBy: nil, rows: rows, columns: columns, beta: beta, into: y)
  }

  /// y[c] ← Σ_n x[n, c]·(dy[n, c]·rstd[n]) + β·y[c]; without `factors` (dy and rstd) the plain sum.
  func sumColumns(
    _ x: Operand, scaledBy factors: (dy: Operand, rstd: Operand)?, rows: Int, columns: Int,
    beta: Double, into y: Destination
  ) {
    requireFloat(x.dtype, "sumRows")
    guard columns > 0 else { return }
    // As many shares as fill the device, of at least 64 rows.
    let shares = max(1, min((rows + 63) / 64, 64))
    let parts = scratch(y.dtype, shares * columns)
    launch(
      Kernel("reduction", "column_sums", x.dtype), grid: (x: (columns + 31) / 32, y: shares),
      block: (32, 8), x.pointer, factors?.dy.pointer ?? 0, factors?.rstd.pointer ?? 0, Int32(rows),
      Int32(columns), parts.destination.pointer)
    launch(
      Kernel("reduction", "add_shares", y.dtype), grid: blocks(columns), parts.destination.pointer,
      Int32(shares), Int32(columns), beta, y.pointer)
  }

  package func dotRows(
    _ a: Operand, _ b: Operand, rows: Int, columns: Int, into y: Destination
  ) {
    precondition(
      a.dtype == b.dtype && y.dtype == a.dtype.accumulation,
      "dotRows: result is \(y.dtype.rawValue)")
    launch(
      Kernel("reduction", "dot_rows", a.dtype), grid: (x: (rows + 7) / 8, y: 1), block: (32, 8),
      a.pointer, b.pointer, y.pointer, Int32(rows), Int32(columns))
  }

  package func sum(_ x: Operand, into y: Destination) {
    precondition(y.dtype == x.dtype.accumulation, "sum: result is \(y.dtype.rawValue)")
    requireFloat(x.dtype, "sum")
    let count = (x.count + 16_383) / 16_384
    let parts = scratch(.float64, max(count, 1))
    launch(
      Kernel("reduction", "partial_sums", x.dtype), grid: (x: count, y: 1), x.pointer,
      parts.destination.pointer, Int64(x.count))
    launch(
      Kernel("reduction", "total", y.dtype), grid: (x: 1, y: 1), parts.destination.pointer,
      Int64(count), y.pointer)
  }

  package func argmaxRows(_ x: Operand, rows: Int, columns: Int, into y: Destination) {
    precondition(y.dtype == .int32 && columns > 0, "argmaxRows: result is \(y.dtype.rawValue)")
    requireFloat(x.dtype, "argmaxRows")
    launch(
      Kernel("reduction", "argmax_rows", x.dtype), grid: (x: rows, y: 1), x.pointer, y.pointer,
      Int32(columns))
  }
}
