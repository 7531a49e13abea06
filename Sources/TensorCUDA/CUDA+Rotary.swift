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
    let heads = rotation.rows * rotation.heads
    if let norm {
      precondition(!inverse, "rotate: a norm before an inverse rotation")
      launch(
        Kernel("rows", "rotate_normalized", x.dtype), grid: (x: (heads + 7) / 8, y: 1),
        block: (32, 8), x.pointer, norm.weight.pointer, y.pointer, norm.rstd.pointer, UInt32(heads),
        RotationArgument(rotation), norm.epsilon)
      return
    }
    let count = heads * (rotation.headDim - rotation.half)
    launch(
      Kernel("rows", "rotate", x.dtype), grid: blocks(count), x.pointer, y.pointer, UInt32(count),
      RotationArgument(rotation), Int32(inverse ? 1 : 0))
  }

  package func rotateNormalizedBackward(
    dy: Operand, x: Operand, weight: Operand, rstd: Operand, _ rotation: Rotation, dx: Destination,
    dWeight: Destination?
  ) {
    requireTables(x.dtype, rotation)
    let heads = rotation.rows * rotation.heads
    if let dWeight {
      // The gradient of the weight needs that of the norm's result.
      rotate(dy, rotation, inverse: true, normalizedBy: nil, into: dx)
      rmsNormBackward(
        dy: dx.operand, x: x, weight: weight, rstd: rstd, rows: heads, columns: rotation.headDim,
        dx: dx, dWeight: dWeight)
      return
    }
    launch(
      Kernel("rows", "rotate_normalized_backward", x.dtype), grid: (x: (heads + 7) / 8, y: 1),
      block: (32, 8), dy.pointer, x.pointer, weight.pointer, rstd.pointer, dx.pointer,
      UInt32(heads), RotationArgument(rotation))
  }

  private func requireTables(_ dtype: DType, _ rotation: Rotation) {
    requireFloat(dtype, "rotate")
    let count = rotation.rows * rotation.heads * (rotation.headDim - rotation.half)
    precondition(count <= UInt32.max, "rotate: \(count) pairs, at most \(UInt32.max)")
    precondition(
      rotation.cos.dtype == dtype.accumulation, "rotate: tables are \(rotation.cos.dtype.rawValue)")
  }
}
