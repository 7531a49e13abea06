// The fused operations of a transformer block and their gradients, on plain tensors.

extension Tensor {
  /// RMSNorm over the last axis.  x [.., C], weight [C] → (y like x, rstd [N] in the accumulation type)
  package func rmsNorm(weight: Tensor, epsilon: Double) -> (y: Tensor, rstd: Tensor) {
    precondition(
      weight.count == columnCount && weight.dtype == dtype,
      "rmsNorm: weight \(weight.shape) \(weight.dtype.rawValue) for \(shape) \(dtype.rawValue)")
    let backend = commonBackend(self, weight, "rmsNorm")
    let y = Tensor(uninitialized: shape, dtype, backend: backend)
    let rstd = Tensor(uninitialized: [rowCount], dtype.accumulation, backend: backend)
    launch(self, weight, y, rstd) {
      backend.rmsNorm(
        operand, weight: weight.operand, epsilon: epsilon, rows: rowCount, columns: columnCount,
        into: y.destination, rstd: rstd.destination)
    }
    return (y, rstd)
  }

  /// Gradients of `rmsNorm`; dWeight [C] only where asked for.
  package static func rmsNormBackward(
    dy: Tensor, x: Tensor, weight: Tensor, rstd: Tensor, needsWeight: Bool
  ) -> (dx: Tensor, dWeight: Tensor?) {
    precondition(
      dy.shape == x.shape && dy.dtype == x.dtype && weight.dtype == x.dtype
        && weight.count == x.columnCount && rstd.count == x.rowCount
        && rstd.dtype == x.dtype.accumulation,
      "rmsNormBackward: dy \(dy.shape) \(dy.dtype.rawValue), x \(x.shape) \(x.dtype.rawValue)")
    let backend = commonBackend(dy, x, "rmsNormBackward")
    let dx = Tensor(uninitialized: x.shape, x.dtype, backend: backend)
    let dWeight =
      needsWeight
      ? Tensor(uninitialized: weight.shape, x.dtype.accumulation, backend: backend) : nil
    launch(dy, x, weight, rstd, dx, dWeight) {
      backend.rmsNormBackward(
        dy: dy.operand, x: x.operand, weight: weight.operand, rstd: rstd.operand,
        rows: x.rowCount, columns: x.columnCount, dx: dx.destination,
        dWeight: dWeight?.destination)
    }
    return (dx, dWeight)
  }

  /// Half-rotation of the heads by position.  x [N, H, D], cos and sin [P, R], positions int32 [N] → [N, H, D]
  package func rotated(cos: Tensor, sin: Tensor, positions: Tensor, inverse: Bool = false) -> Tensor
  {
    let rotation = rotation(cos, sin, positions)
    let y = Tensor(uninitialized: shape, dtype, backend: backend)
    launch(self, cos, sin, positions, y) {
      backend.rotate(
        operand, rotation, inverse: inverse, normalizedBy: nil, into: y.destination)
    }
    return y
  }

  /// RMSNorm of every head and then its rotation, in one pass over memory.
  ///
  /// x [N, H, D], weight [D], cos and sin [P, R], positions int32 [N] → (y like x, rstd [N·H] in the accumulation type)
  package func rotatedNormalized(
    weight: Tensor, epsilon: Double, cos: Tensor, sin: Tensor, positions: Tensor
  ) -> (y: Tensor, rstd: Tensor) {
    let rotation = rotation(cos, sin, positions)
    precondition(
      weight.count == shape[2] && weight.dtype == dtype,
      "rotatedNormalized: weight \(weight.shape) \(weight.dtype.rawValue) for \(shape) \(dtype.rawValue)"
    )
    let y = Tensor(uninitialized: shape, dtype, backend: backend)
    let rstd = Tensor(uninitialized: [rowCount], dtype.accumulation, backend: backend)
    launch(self, weight, cos, sin, positions, y, rstd) {
      let norm = HeadNorm(weight: weight.operand, epsilon: epsilon, rstd: rstd.destination)
      backend.rotate(
        operand, rotation, inverse: false, normalizedBy: norm, into: y.destination)
    }
    return (y, rstd)
  }

  /// Gradients of `rotatedNormalized` for its input self; dWeight [D] only where asked for.
  package func rotatedNormalizedBackward(
    dy: Tensor, weight: Tensor, rstd: Tensor, cos: Tensor, sin: Tensor, positions: Tensor,
    needsWeight: Bool
  ) -> (dx: Tensor, dWeight: Tensor?) {
    let rotation = rotation(cos, sin, positions)
    precondition(
      dy.shape == shape && dy.dtype == dtype && weight.dtype == dtype && weight.count == shape[2]
        && rstd.count == rowCount && rstd.dtype == dtype.accumulation,
      "rotatedNormalizedBackward: dy \(dy.shape) \(dy.dtype.rawValue), x \(shape) \(dtype.rawValue)"
    )
    let dx = Tensor(uninitialized: shape, dtype, backend: backend)
    let dWeight =
      needsWeight ? Tensor(uninitialized: weight.shape, dtype.accumulation, backend: backend) : nil
    launch(dy, self, weight, rstd, cos, sin, positions, dx, dWeight) {
      backend.rotateNormalizedBackward(
        dy: dy.operand, x: operand, weight: weight.operand, rstd: rstd.operand, rotation,
        dx: dx.destination, dWeight: dWeight?.destination)
    }
    return (dx, dWeight)
  }

  /// What kernels are told of the rotation of self [N, H, D]; it holds for as long as the tables do.
  private func rotation(_ cos: Tensor, _ sin: Tensor, _ positions: Tensor) -> Rotation {
    precondition(
      shape.rank == 3 && positions.count == shape[0] && 2 * cos.columnCount <= shape[2]
        && cos.shape == sin.shape && cos.dtype == dtype.accumulation && sin.dtype == cos.dtype
        && positions.dtype == .int32,
      "rotated: \(shape) by \(cos.shape) \(cos.dtype.rawValue) at \(positions.shape)")
    return Rotation(
      cos: cos.operand, sin: sin.operand, positions: positions.operand, rows: shape[0],
      heads: shape[1], headDim: shape[2], half: cos.columnCount)
  }

  /// Causal attention within documents.  q [N, H, D], k and v [M, K, D] → (out [N, H, D], logSumExp [H, N])
  ///
  /// `documents` are cumulative token offsets [0, …, M] among the keys (nil: one document); `keyOffset` is the
  /// index of the first query among the keys.
  package static func attention(
    q: Tensor, k: Tensor, v: Tensor, scale: Double, documents: [Int]?, keyOffset: Int
  ) -> (out: Tensor, logSumExp: Tensor) {
    let shape = attentionShape(q, k, v, scale, documents, keyOffset)
    let backend = commonBackend(q, k, "attention")
    let out = Tensor(uninitialized: q.shape, q.dtype, backend: backend)
    let lse = Tensor(
      uninitialized: [q.shape[1], q.shape[0]], q.dtype.accumulation, backend: backend)
    launch(q, k, v, out, lse) {
      backend.attention(
        q: q.operand, k: k.operand, v: v.operand, shape: shape, into: out.destination,
        logSumExp: lse.destination)
    }
    return (out, lse)
  }

  /// Gradients (dq, dk, dv) of `attention` with keyOffset 0.
  package static func attentionBackward(
    dOut: Tensor, q: Tensor, k: Tensor, v: Tensor, out: Tensor, logSumExp: Tensor, scale: Double,
    documents: [Int]?
  ) -> (dq: Tensor, dk: Tensor, dv: Tensor) {
    let shape = attentionShape(q, k, v, scale, documents, 0)
    precondition(
      q.shape[0] == k.shape[0] && dOut.shape == q.shape && out.shape == q.shape
        && dOut.dtype == q.dtype && out.dtype == q.dtype,
      "attentionBackward: dOut \(dOut.shape) \(dOut.dtype.rawValue), q \(q.shape), \(k.shape[0]) keys"
    )
    let backend = commonBackend(q, dOut, "attentionBackward")
    let dq = Tensor(uninitialized: q.shape, q.dtype, backend: backend)
    let dk = Tensor(uninitialized: k.shape, k.dtype, backend: backend)
    let dv = Tensor(uninitialized: v.shape, v.dtype, backend: backend)
    launch(dOut, q, k, v, out, logSumExp, dq, dk, dv) {
      backend.attentionBackward(
        dOut: dOut.operand, q: q.operand, k: k.operand, v: v.operand, out: out.operand,
        logSumExp: logSumExp.operand, shape: shape, dq: dq.destination, dk: dk.destination,
        dv: dv.destination)
    }
    return (dq, dk, dv)
  }

  private static func attentionShape(
    _ q: Tensor, _ k: Tensor, _ v: Tensor, _ scale: Double, _ documents: [Int]?, _ keyOffset: Int
  ) -> AttentionShape {
    precondition(
      q.shape.rank == 3 && k.shape.rank == 3 && k.shape == v.shape && q.shape[2] == k.shape[2]
        && k.shape[1] > 0 && q.shape[1] % k.shape[1] == 0 && q.dtype == k.dtype
        && q.dtype == v.dtype,
      "attention: q \(q.shape) \(q.dtype.rawValue), k \(k.shape) \(k.dtype.rawValue), v \(v.shape)")
    let keyCount = k.shape[0]
    let offsets = documents ?? [0, keyCount]
    precondition(
      offsets.first == 0 && offsets.last == keyCount
        && zip(offsets, offsets.dropFirst()).allSatisfy { $0 <= $1 }
        && keyOffset >= 0 && keyOffset + q.shape[0] <= keyCount,
      "attention: documents \(offsets) and key offset \(keyOffset) for \(q.shape[0]) queries, \(keyCount) keys"
    )
    return AttentionShape(
      heads: q.shape[1], keyValueHeads: k.shape[1], headDim: q.shape[2], queryCount: q.shape[0],
      keyCount: keyCount, keyOffset: keyOffset, documentOffsets: offsets, scale: scale)
  }

  /// table[ids[n]].  table [V, C], ids int32 [N] → [N, C]
  package func gatheredRows(_ ids: Tensor) -> Tensor {
    precondition(ids.dtype == .int32 && shape.rank == 2, "gatheredRows: ids \(ids.dtype.rawValue)")
    let y = Tensor(uninitialized: [ids.count, columnCount], dtype, backend: backend)
    launch(self, ids, y) {
      backend.gatherRows(
        operand, ids: ids.operand, rows: ids.count, columns: columnCount, into: y.destination)
    }
    return y
  }

  /// self[ids[n]] += x[n], in the order of n.
  package mutating func accumulateScattered(_ x: Tensor, ids: Tensor) {
    precondition(
      x.columnCount == columnCount && x.rowCount == ids.count && x.dtype == dtype,
      "accumulateScattered: \(x.shape) into \(shape)")
    makeUnique()
    launch(self, x, ids) {
      backend.scatterAddRows(
        x.operand, ids: ids.operand, rows: ids.count, columns: columnCount, into: destination)
    }
  }
}
