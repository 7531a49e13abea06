// RMSNorm forward and backward: a warp a row for short rows, a block for long ones.

package import Tensor

extension CUDABackend: NormKernels {
  package func rmsNorm(
    _ x: Operand, weight: Operand, epsilon: Double, rows: Int, columns: Int, into y: Destination,
    rstd: Destination
  ) {
    requireFloat(x.dtype, "rmsNorm")
    let (grid, block) = rowBlocks(rows, columns, x.dtype)
    launch(
      Kernel("norm", "rms_norm", x.dtype), grid: grid, block: block, x.pointer, weight.pointer,
      y.pointer, rstd.pointer, Int32(rows), Int32(columns), epsilon)
  }

  package func rmsNormBackward(
    dy: Operand, x: Operand, weight: Operand, rstd: Operand, rows: Int, columns: Int,
    dx: Destination, dWeight: Destination?
  ) {
    requireFloat(x.dtype, "rmsNormBackward")
    // Before dx, which may lie where dy does.
    if let dWeight {
      sumColumns(
        x, scaledBy: (dy: dy, rstd: rstd), rows: rows, columns: columns, beta: 0, into: dWeight)
    }
    let (grid, block) = rowBlocks(rows, columns, x.dtype)
    launch(
      Kernel("norm", "rms_norm_backward", x.dtype), grid: grid, block: block, dy.pointer,
      x.pointer, weight.pointer, rstd.pointer, dx.pointer, Int32(rows), Int32(columns))
  }

  /// A block a row, or a warp where that is enough for sixteen bytes a thread.
  private func rowBlocks(_ rows: Int, _ columns: Int, _ dtype: DType) -> (
    grid: (x: Int, y: Int), block: (x: Int, y: Int)
  ) {
    let threads = threads(columns, dtype, most: 640)
    return threads > 32
      ? (grid: (x: rows, y: 1), block: (x: threads, y: 1))
      : (grid: (x: (rows + 7) / 8, y: 1), block: (x: 32, y: 8))
  }
}
