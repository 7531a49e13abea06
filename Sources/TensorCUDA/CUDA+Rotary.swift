// Rotary position embedding.

package import Tensor

extension CUDABackend: RotaryKernels {
  package func rotate(
    _ x: Operand, cos: Operand, sin: Operand, positions: Operand, rows: Int, heads: Int,
    headDim: Int, rotaryHalf: Int, inverse: Bool, into y: Destination
  ) {
    requireFloat(x.dtype, "rotate")
    precondition(
      cos.dtype == x.dtype.accumulation, "rotate: tables are \(cos.dtype.rawValue)")
    let count = rows * heads * (headDim - rotaryHalf)
    launch(
      Kernel("rows", "rotate", x.dtype), grid: blocks(count), x.pointer, cos.pointer, sin.pointer,
      positions.pointer, y.pointer, Int64(count), Int32(heads), Int32(headDim), Int32(rotaryHalf),
      Int32(cos.count / max(rotaryHalf, 1)), Int32(inverse ? 1 : 0))
  }
}
