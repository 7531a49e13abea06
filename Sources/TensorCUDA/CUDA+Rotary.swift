// Rotary position embedding, by itself and with the norm of heads before it.

package import Tensor

/// The angles of a rotation as kernels take them.
private struct RotationArgument: BitwiseCopyable {
  let cos, sin, positions: UInt64
  let heads, headDim, half, tableRows: Int32

  init(_ rotation: Rotation) {
    (cos, sin) = (rotation.cos.pointer, rotation.sin.pointer)
    positions = rotation.positions.pointer
    (heads, headDim) = (Int32(rotation.heads), Int32(rotation.headDim))
    half = Int32(rotation.half)
    tableRows = Int32(rotation.cos.count / max(rotation.half, 1))
  }
}

extension CUDABackend: RotaryKernels {
  package func rotate(
    _ x: Operand, _ rotation: Rotation, inverse: Bool, normalizedBy norm: HeadNorm?,
    into y: Destination
  ) {
    requireTables(x.dtype, rotation)
    if let norm {
      precondition(!inverse, "rotate: a norm before an inverse rotation")
      let (grid, heads) = warps(rotation)
      launch(
        Kernel("rows", "rotate_normalized", x.dtype), grid: grid, block: (32, 8), x.pointer,
        norm.weight.pointer, y.pointer, norm.rstd.pointer, Int32(rotation.rows), Int32(heads),
        RotationArgument(rotation), norm.epsilon)
      return
    }
    let count = rotation.rows * rotation.heads * (rotation.headDim - rotation.half)
    launch(
      Kernel("rows", "rotate", x.dtype), grid: blocks(count), x.pointer, y.pointer, UInt32(count),
      RotationArgument(rotation), Int32(inverse ? 1 : 0))
  }

  package func rotateNormalizedBackward(
    dy: Operand, x: Operand, weight: Operand, rstd: Operand, _ rotation: Rotation, dx: Destination,
    dWeight: Destination?
  ) {
    requireTables(x.dtype, rotation)
    if let dWeight {
      // The gradient of the weight needs that of the norm's result.
      rotate(dy, rotation, inverse: true, normalizedBy: nil, into: dx)
      rmsNormBackward(
        dy: dx.operand, x: x, weight: weight, rstd: rstd, rows: rotation.rows * rotation.heads,
        columns: rotation.headDim, dx: dx, dWeight: dWeight)
      return
    }
    let (grid, heads) = warps(rotation)
    launch(
      Kernel("rows", "rotate_normalized_backward", x.dtype), grid: grid, block: (32, 8),
      dy.pointer, x.pointer, weight.pointer, rstd.pointer, dx.pointer, Int32(rotation.rows),
      Int32(heads), RotationArgument(rotation))
  }

  /// Blocks of eight warps, and heads of a row that a warp goes through: all, so that angles and weight are read once, unless rows are too few
  /// to keep a GPU busy.
  private func warps(_ rotation: Rotation) -> (grid: (x: Int, y: Int), heads: Int) {
    let heads = rotation.rows < 2048 ? 4 : rotation.heads
    return (
      grid: (x: (rotation.rows + 7) / 8, y: (rotation.heads + heads - 1) / heads), heads: heads
    )
  }

  private func requireTables(_ dtype: DType, _ rotation: Rotation) {
    requireFloat(dtype, "rotate")
    let count = rotation.rows * rotation.heads * (rotation.headDim - rotation.half)
    // The threads behind the last one count in 32 bits too.
    precondition(count <= UInt32.max - 255, "rotate: \(count) pairs, at most \(UInt32.max - 255)")
    precondition(
      rotation.cos.dtype == dtype.accumulation, "rotate: tables are \(rotation.cos.dtype.rawValue)")
  }
}
