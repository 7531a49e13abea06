// Causal attention in tiles of query rows. Scores exist for one tile and one head at a time; the part of a tile's
// rows that lies in the future is never multiplied. Grouped heads share K and V in place, and the strides of
// [N, H, D] go straight into the matrix products, so nothing is transposed or repeated.

extension CPUBackend: AttentionKernels {
  package func attention(
    q: Operand, k: Operand, v: Operand, shape: AttentionShape, into out: Destination,
    logSumExp: Destination
  ) {
    switch q.dtype {
    case .float32: forward(Float.self, q, k, v, shape, out, logSumExp)
    case .float64: forward(Double.self, q, k, v, shape, out, logSumExp)
    case .bfloat16:
      let wideQ = widened(q)
      let wideK = widened(k)
      let wideV = widened(v)
      let wideOut = Scratch(Float.self, count: out.count, pool: pool)
      forward(
        Float.self, wideQ.destination.operand, wideK.destination.operand,
        wideV.destination.operand, shape, wideOut.destination, logSumExp)
      cast(wideOut.destination.operand, into: out)
    default: preconditionFailure("attention: no kernel for \(q.dtype.rawValue)")
    }
  }

  package func attentionBackward(
    dOut: Operand, q: Operand, k: Operand, v: Operand, out: Operand, logSumExp: Operand,
    shape: AttentionShape, dq: Destination, dk: Destination, dv: Destination
  ) {
    switch q.dtype {
    case .float32: backward(Float.self, dOut, q, k, v, out, logSumExp, shape, dq, dk, dv)
    case .float64: backward(Double.self, dOut, q, k, v, out, logSumExp, shape, dq, dk, dv)
    case .bfloat16:
      let wideDOut = widened(dOut)
      let wideOut = widened(out)
      let wideQ = widened(q)
      let wideK = widened(k)
      let wideV = widened(v)
      let wideDQ = Scratch(Float.self, count: dq.count, pool: pool)
      let wideDK = Scratch(Float.self, count: dk.count, pool: pool)
      let wideDV = Scratch(Float.self, count: dv.count, pool: pool)
      backward(
        Float.self, wideDOut.destination.operand, wideQ.destination.operand,
        wideK.destination.operand, wideV.destination.operand, wideOut.destination.operand,
        logSumExp, shape, wideDQ.destination, wideDK.destination, wideDV.destination)
      cast(wideDQ.destination.operand, into: dq)
      cast(wideDK.destination.operand, into: dk)
      cast(wideDV.destination.operand, into: dv)
    default: preconditionFailure("attentionBackward: no kernel for \(q.dtype.rawValue)")
    }
  }

  /// The same numbers in float32.
  private func widened(_ x: Operand) -> Scratch<Float> {
    let wide = Scratch(Float.self, count: x.count, pool: pool)
    cast(x, into: wide.destination)
    return wide
  }

  private func forward<T: BLASElement>(
    _ type: T.Type, _ q: Operand, _ k: Operand, _ v: Operand, _ shape: AttentionShape,
    _ out: Destination, _ logSumExp: Destination
  ) {
    let (q, k, v) = (q.pointer(T.self), k.pointer(T.self), v.pointer(T.self))
    let (out, logSumExp) = (out.pointer(T.self), logSumExp.pointer(T.self))
    let (heads, kvHeads, dim) = (shape.heads, shape.keyValueHeads, shape.headDim)
    let (qStride, kvStride) = (heads * dim, kvHeads * dim)
    let tiles = queryTiles(shape)
    guard let widest = tiles.map({ $0.rows.count * $0.keys.count }).max() else { return }
    let workers = Workers.count
    let scratch = Scratch(T.self, count: widest * workers, pool: pool)
    let scores = scratch.pointer
    OpenBLAS.onCallingThread {
      parallelTasks(tiles.count * heads, workers: workers) { task, worker in
        let (tile, head) = (tiles[task / heads], task % heads)
        let s = scores + worker * widest
        let (rows, keys) = (tile.rows.count, tile.keys.count)
        let qTile = q + tile.rows.lowerBound * qStride + head * dim
        let kv = head / (heads / kvHeads) * dim + tile.keys.lowerBound * kvStride
        T.gemm(
          false, true, rows, keys, dim, T(shape.scale), qTile, qStride, k + kv, kvStride, 0, s, keys
        )
        for r in 0..<rows {
          let row = tile.rows.lowerBound + r
          logSumExp[head * shape.queryCount + row] = softmax(
            s + r * keys, visible: tile.visibleKeys(row, shape), count: keys)
        }
        T.gemm(
          false, false, rows, dim, keys, 1, s, keys, v + kv, kvStride, 0,
          out + tile.rows.lowerBound * qStride + head * dim, qStride)
      }
    }
  }

  /// P = exp(S − lse), dV += Pᵀ·dO, dP = dO·Vᵀ, dS = P ⊙ (dP − Σ dO ⊙ O)·scale, dQ = dS·K, dK += dSᵀ·Q.
  ///
  /// One task owns a key/value head of a document, so dK and dV are sums in a fixed order without locks.
  private func backward<T: BLASElement>(
    _ type: T.Type, _ dOut: Operand, _ q: Operand, _ k: Operand, _ v: Operand, _ out: Operand,
    _ logSumExp: Operand, _ shape: AttentionShape, _ dq: Destination, _ dk: Destination,
    _ dv: Destination
  ) {
    let (dOut, q, k) = (dOut.pointer(T.self), q.pointer(T.self), k.pointer(T.self))
    let (v, out, logSumExp) = (v.pointer(T.self), out.pointer(T.self), logSumExp.pointer(T.self))
    fill(dk, with: 0)
    fill(dv, with: 0)
    let (dq, dk, dv) = (dq.pointer(T.self), dk.pointer(T.self), dv.pointer(T.self))
    let (heads, kvHeads, dim) = (shape.heads, shape.keyValueHeads, shape.headDim)
    let (qStride, kvStride, group) = (heads * dim, kvHeads * dim, heads / kvHeads)
    let tiles = queryTiles(shape)
    guard let widest = tiles.map({ $0.rows.count * $0.keys.count }).max() else { return }
    let workers = Workers.count
    let scratch = Scratch(T.self, count: 2 * widest * workers, pool: pool)
    let buffers = scratch.pointer
    let documents = Dictionary(grouping: tiles, by: \.document).sorted { $0.key < $1.key }.map(
      \.value)
    OpenBLAS.onCallingThread {
      parallelTasks(documents.count * kvHeads, workers: workers) { task, worker in
        let (document, kvHead) = (documents[task / kvHeads], task % kvHeads)
        let s = buffers + 2 * worker * widest
        let dp = s + widest
        for tile in document {
          let (rows, keys) = (tile.rows.count, tile.keys.count)
          let kv = kvHead * dim + tile.keys.lowerBound * kvStride
          for head in kvHead * group..<(kvHead + 1) * group {
            let offset = tile.rows.lowerBound * qStride + head * dim
            T.gemm(
              false, true, rows, keys, dim, T(shape.scale), q + offset, qStride, k + kv, kvStride,
              0, s, keys)
            T.gemm(
              false, true, rows, keys, dim, 1, dOut + offset, qStride, v + kv, kvStride, 0, dp, keys
            )
            for r in 0..<rows {
              let row = tile.rows.lowerBound + r
              let delta = product(dOut + offset + r * qStride, out + offset + r * qStride, dim)
              probabilitiesAndGradient(
                s + r * keys, dp + r * keys, visible: tile.visibleKeys(row, shape), count: keys,
                logSumExp: logSumExp[head * shape.queryCount + row], delta: delta,
                scale: T(shape.scale))
            }
            T.gemm(
              true, false, keys, dim, rows, 1, s, keys, dOut + offset, qStride, 1, dv + kv, kvStride
            )
            T.gemm(
              false, false, rows, dim, keys, 1, dp, keys, k + kv, kvStride, 0, dq + offset, qStride)
            T.gemm(
              true, false, keys, dim, rows, 1, dp, keys, q + offset, qStride, 1, dk + kv, kvStride)
          }
        }
      }
    }
  }

  /// A run of query rows of one document and the keys that the last of them sees.
  private struct QueryTile {
    let document: Int
    let rows: Range<Int>
    let keys: Range<Int>

    /// How many of `keys` query `row` sees.
    @inline(__always)
    func visibleKeys(_ row: Int, _ shape: AttentionShape) -> Int {
      row + shape.keyOffset + 1 - keys.lowerBound
    }
  }

  private func queryTiles(_ shape: AttentionShape) -> [QueryTile] {
    var tiles: [QueryTile] = []
    for document in 0..<shape.documentOffsets.count - 1 {
      let keys = shape.documentOffsets[document]..<shape.documentOffsets[document + 1]
      let first = max(keys.lowerBound - shape.keyOffset, 0)
      let last = min(keys.upperBound - shape.keyOffset, shape.queryCount)
      for start in stride(from: first, to: last, by: 128) {
        let end = min(start + 128, last)
        tiles.append(
          QueryTile(
            document: document, rows: start..<end, keys: keys.lowerBound..<end + shape.keyOffset))
      }
    }
    return tiles
  }

  /// Normalises the first `visible` scores in place, clears the others, and returns log Σ exp.
  @inline(__always)
  private func softmax<T: BLASElement>(
    _ s: UnsafeMutablePointer<T>, visible: Int, count: Int
  ) -> T {
    var largest = s[0]
    var i = 0
    var lanes = SIMD8<T>(repeating: largest)
    while i + 8 <= visible {
      lanes = T.larger(lanes, T.load(UnsafePointer(s) + i))
      i += 8
    }
    for lane in 0..<8 where lanes[lane] > largest { largest = lanes[lane] }
    while i < visible {
      if s[i] > largest { largest = s[i] }
      i += 1
    }
    var sums = SIMD8<T>.zero
    i = 0
    while i + 8 <= visible {
      let e = T.exponential(T.load(UnsafePointer(s) + i) - largest)
      T.store(e, s + i)
      sums += e
      i += 8
    }
    var total = sums.sum()
    while i < visible {
      let e = T.exponential(s[i] - largest)
      s[i] = e
      total += e
      i += 1
    }
    let inverse = 1 / total
    i = 0
    while i + 8 <= visible {
      T.store(T.load(UnsafePointer(s) + i) * inverse, s + i)
      i += 8
    }
    while i < visible {
      s[i] *= inverse
      i += 1
    }
    while i < count {
      s[i] = 0
      i += 1
    }
    return largest + T.logarithm(total)
  }

  /// s ← P and dp ← dS for one row.
  @inline(__always)
  private func probabilitiesAndGradient<T: BLASElement>(
    _ s: UnsafeMutablePointer<T>, _ dp: UnsafeMutablePointer<T>, visible: Int, count: Int,
    logSumExp: T, delta: T, scale: T
  ) {
    var i = 0
    while i + 8 <= visible {
      let p = T.exponential(T.load(UnsafePointer(s) + i) - logSumExp)
      T.store(p, s + i)
      T.store(p * (T.load(UnsafePointer(dp) + i) - delta) * scale, dp + i)
      i += 8
    }
    while i < visible {
      let p = T.exponential(s[i] - logSumExp)
      s[i] = p
      dp[i] = p * (dp[i] - delta) * scale
      i += 1
    }
    while i < count {
      s[i] = 0
      dp[i] = 0
      i += 1
    }
  }

  @inline(__always)
  private func product<T: BLASElement>(_ a: UnsafePointer<T>, _ b: UnsafePointer<T>, _ count: Int)
    -> T
  {
    var lanes = SIMD8<T>.zero
    var i = 0
    while i + 8 <= count {
      lanes += T.load(a + i) * T.load(b + i)
      i += 8
    }
    var total = lanes.sum()
    while i < count {
      total += a[i] * b[i]
      i += 1
    }
    return total
  }
}
