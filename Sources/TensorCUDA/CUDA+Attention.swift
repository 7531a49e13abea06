// Causal attention: scores exist for a tile of rows and keys at a time, and the future is not multiplied.

package import Tensor

/// Sizes of a call as kernels take them.
private struct AttentionArgument: BitwiseCopyable {
  let heads, keyValueHeads, headDim, queryCount, keyOffset: Int32
  private let padding: Int32 = 0
  let scale: Double

  init(_ shape: AttentionShape) {
    heads = Int32(shape.heads)
    keyValueHeads = Int32(shape.keyValueHeads)
    headDim = Int32(shape.headDim)
    queryCount = Int32(shape.queryCount)
    keyOffset = Int32(shape.keyOffset)
    scale = shape.scale
  }
}

extension CUDABackend: AttentionKernels {
  /// Rows of the other side that the general kernels have in shared memory at a time.
  private static let step = 32
  /// Queries from which on the kernels on tensor cores are worth their tiles: the general ones read keys by two bytes.
  private static let flashQueryCount = 1
  /// The scale from which on a score of -1e30 has a weight of 0.
  private static let smallestFlashScale = 1e-20
  /// The largest head dim of the general kernels.
  private static let largestHeadDim = 256

  package func attention(
    q: Operand, k: Operand, v: Operand, shape: AttentionShape, into out: Destination,
    logSumExp: Destination
  ) {
    if shape.queryCount >= Self.flashQueryCount,
      let flash = flash(q.dtype, shape, [q, k, v], needing: \.forwardByteCount)
    {
      return flashForward(flash, q, k, v, shape, out, logSumExp)
    }
    requireKernel(q.dtype, shape)
    let tiles = attentionPlans.tiles(.init(.queries, height: rows(q.dtype), shape), on: self)
    launch(
      Kernel("attention", "attention", q.dtype), grid: (x: tiles.count, y: shape.heads),
      block: (128, 1), sharedByteCount: sharedByteCount(q.dtype, shape, rowTiles: 1),
      q.pointer, k.pointer, v.pointer, out.pointer, logSumExp.pointer, UInt64(tiles.buffer.address),
      AttentionArgument(shape))
  }

  package func attentionBackward(
    dOut: Operand, q: Operand, k: Operand, v: Operand, out: Operand, logSumExp: Operand,
    shape: AttentionShape, dq: Destination, dk: Destination, dv: Destination
  ) {
    precondition(
      shape.keyOffset == 0 && shape.queryCount == shape.keyCount,
      "attentionBackward: \(shape.queryCount) queries from \(shape.keyOffset), \(shape.keyCount) keys"
    )
    let rows = shape.queryCount * shape.heads
    let delta = scratch(q.dtype.accumulation, rows)
    // The lists of tiles take memory as well, and must not be given that of delta.
    defer { withExtendedLifetime(delta) {} }
    launch(
      Kernel("attention", "attention_delta", q.dtype), grid: (x: (rows + 7) / 8, y: 1),
      block: (32, 8), dOut.pointer, out.pointer, delta.destination.pointer,
      Int32(shape.queryCount), Int32(shape.heads), Int32(shape.headDim))
    if let flash = flash(q.dtype, shape, [dOut, q, k, v], needing: \.backwardByteCount) {
      return flashBackward(
        flash, dOut, q, k, v, logSumExp, delta.destination.operand, shape, dq, dk, dv)
    }
    requireKernel(q.dtype, shape)
    let argument = AttentionArgument(shape)
    let height = self.rows(q.dtype)
    let queryTiles = attentionPlans.tiles(.init(.queries, height: height, shape), on: self)
    launch(
      Kernel("attention", "attention_dq", q.dtype), grid: (x: queryTiles.count, y: shape.heads),
      block: (128, 1), sharedByteCount: sharedByteCount(q.dtype, shape, rowTiles: 2),
      dOut.pointer, q.pointer, k.pointer, v.pointer, logSumExp.pointer, delta.destination.pointer,
      dq.pointer, UInt64(queryTiles.buffer.address), argument)
    let keyTiles = attentionPlans.tiles(.init(.keys, height: height, shape), on: self)
    launch(
      Kernel("attention", "attention_dkv", q.dtype),
      grid: (x: keyTiles.count, y: shape.keyValueHeads), block: (128, 1),
      sharedByteCount: sharedByteCount(q.dtype, shape, rowTiles: 2), dOut.pointer,
      q.pointer, k.pointer, v.pointer, logSumExp.pointer, delta.destination.pointer, dk.pointer,
      dv.pointer, UInt64(keyTiles.buffer.address), argument)
  }

  /// The kernels on tensor cores for a call, nil where they do not take it: they need bfloat16, a head dim of their own, a
  /// scale with which -1e30, the score of the future, is still far below all others, addresses at multiples of 16 bytes, and so much shared memory a block. Of the 99 KB of GPUs that are not for data
  /// centres all take 64 and 128; of 256 forward does, and backward lacks 256 bytes.
  private func flash(
    _ dtype: DType, _ shape: AttentionShape, _ operands: [Operand],
    needing byteCount: (FlashSizes) -> Int
  ) -> FlashSizes? {
    guard dtype == .bfloat16, shape.scale > Self.smallestFlashScale,
      let sizes = FlashSizes(headDim: shape.headDim),
      byteCount(sizes) <= context.sharedMemoryPerBlock,
      operands.allSatisfy({ $0.address % 16 == 0 })
    else { return nil }
    return sizes
  }

  private func flashForward(
    _ sizes: FlashSizes, _ q: Operand, _ k: Operand, _ v: Operand, _ shape: AttentionShape,
    _ out: Destination, _ logSumExp: Destination
  ) {
    let tiles = attentionPlans.tiles(.init(.queries, height: sizes.queryTile, shape), on: self)
    launch(
      Kernel("flash", sizes.forward, .none), grid: (x: tiles.count, y: shape.heads),
      block: (128, 1), sharedByteCount: sizes.forwardByteCount, q.pointer, k.pointer, v.pointer,
      out.pointer, logSumExp.pointer, UInt64(tiles.buffer.address), AttentionArgument(shape))
  }

  private func flashBackward(
    _ sizes: FlashSizes, _ dOut: Operand, _ q: Operand, _ k: Operand, _ v: Operand,
    _ logSumExp: Operand, _ delta: Operand, _ shape: AttentionShape, _ dq: Destination,
    _ dk: Destination, _ dv: Destination
  ) {
    let argument = AttentionArgument(shape)
    let queryTiles = attentionPlans.tiles(
      .init(.queries, height: sizes.queryTile, shape), on: self)
    launch(
      Kernel("flash", sizes.queryGradient, .none), grid: (x: queryTiles.count, y: shape.heads),
      block: (128, 1), sharedByteCount: sizes.queryGradientByteCount, dOut.pointer, q.pointer,
      k.pointer, v.pointer, logSumExp.pointer, delta.pointer, dq.pointer,
      UInt64(queryTiles.buffer.address), argument)
    let keyTiles = attentionPlans.tiles(.init(.keys, height: FlashSizes.keyTile, shape), on: self)
    launch(
      Kernel("flash", sizes.keyGradient, .none), grid: (x: keyTiles.count, y: shape.keyValueHeads),
      block: (sizes.keyGradientThreads, 1), sharedByteCount: sizes.keyGradientByteCount,
      dOut.pointer, q.pointer, k.pointer, v.pointer, logSumExp.pointer, delta.pointer, dk.pointer,
      dv.pointer, UInt64(keyTiles.buffer.address), argument)
  }

  /// Rows of a block of the general kernels. In float64, which is there for gradient checks, they are so few that every head
  /// dim fits into 99 KB.
  private func rows(_ dtype: DType) -> Int { dtype == .float64 ? 8 : 16 }

  /// Shared memory of a general kernel: tiles of rows, one tile of the other side, and weights of a tile by the other.
  private func sharedByteCount(
    _ dtype: DType, _ shape: AttentionShape, rowTiles: Int
  ) -> Int {
    (rowTiles * rows(dtype) * shape.headDim + Self.step * (shape.headDim + 1)
      + rows(dtype) * Self.step) * dtype.accumulation.byteWidth
  }

  private func requireKernel(_ dtype: DType, _ shape: AttentionShape) {
    precondition(
      dtype.isFloatingPoint && shape.headDim <= Self.largestHeadDim,
      "attention: no kernel for \(dtype.rawValue) and head dim \(shape.headDim)")
  }
}
