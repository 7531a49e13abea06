// Table look-up and its gradient.

package import Tensor

extension CUDABackend: EmbeddingKernels {
  /// Blocks among which the rows of a table are divided: enough for a large GPU, and few enough that each looks through all ids.
  private static let scatterBlocks = 128

  package func gatherRows(
    _ table: Operand, ids: Operand, rows: Int, columns: Int, into y: Destination
  ) {
    precondition(
      table.dtype == y.dtype, "gatherRows: \(table.dtype.rawValue) into \(y.dtype.rawValue)")
    guard columns > 0 else { return }
    launch(
      Kernel("rows", "gather_rows", Kernel.Suffix(width: table.dtype.byteWidth)),
      grid: (x: rows, y: 1), table.pointer, ids.pointer, y.pointer, Int64(columns),
      Int32(table.count / columns))
  }

  package func scatterAddRows(
    _ x: Operand, ids: Operand, rows: Int, columns: Int, into table: Destination
  ) {
    precondition(
      table.dtype == x.dtype, "scatterAddRows: \(x.dtype.rawValue) into \(table.dtype.rawValue)")
    requireFloat(x.dtype, "scatterAddRows")
    guard columns > 0, rows > 0 else { return }
    let tableRows = table.count / columns
    let grid = (
      x: blocks(columns, perThread: lanes(x.dtype)).x, y: min(Self.scatterBlocks, tableRows)
    )
    launch(
      Kernel("rows", "scatter_add_rows", x.dtype), grid: grid, x.pointer, ids.pointer,
      table.pointer, Int32(rows), Int32(columns), Int32(tableRows))
  }
}
