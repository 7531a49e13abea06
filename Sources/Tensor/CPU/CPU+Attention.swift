// Causal attention in tiles of query rows. Scores exist for one tile and one head at a time. What lies in the future of
// the rows is not multiplied: to within a few rows by our own kernels, to within the tile by the libraries'.
// Grouped heads share K and V in place, and the strides of [N, H, D] go straight into the matrix products, so nothing is
// transposed or repeated.

extension CPUBackend: AttentionKernels {
  package func attention(
    q: Operand, k: Operand, v: Operand, shape: AttentionShape, into out: Destination,
    logSumExp: Destination
  ) {
    let isShort = shape.queryCount <= Self.fewQueries
    switch q.dtype {
    case .float32 where isShort: attendFewQueries(Float.self, q, k, v, shape, out, logSumExp)
    case .bfloat16 where isShort: attendFewQueries(BFloat16.self, q, k, v, shape, out, logSumExp)
    case .float32: forward(Float.self, q, k, v, shape, out, logSumExp)
    case .float64: forward(Double.self, q, k, v, shape, out, logSumExp)
    case .bfloat16 where BFloat16.isMultipliable:
      forward(BFloat16.self, q, k, v, shape, out, logSumExp)
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
    case .bfloat16 where BFloat16.isMultipliable:
      backward(BFloat16.self, dOut, q, k, v, out, logSumExp, shape, dq, dk, dv)
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

  /// S = scale·Q·Kᵀ, P = softmax(S), O = P·V, for one tile of rows and one head at a time.
  private func forward<T: AttentionElement>(
    _ type: T.Type, _ q: Operand, _ k: Operand, _ v: Operand, _ shape: AttentionShape,
    _ out: Destination, _ logSumExp: Destination
  ) {
    let (q, k, v) = (q.pointer(T.self), k.pointer(T.self), v.pointer(T.self))
    let (out, logSumExp) = (out.pointer(T.self), logSumExp.pointer(T.Compute.self))
    let (heads, kvHeads, dim) = (shape.heads, shape.keyValueHeads, shape.headDim)
    let (qStride, kvStride) = (heads * dim, kvHeads * dim)
    let tiles = queryTiles(shape)
    guard let widest = tiles.map({ $0.rows.count * $0.keys.count }).max(),
      let tallest = tiles.map(\.rows.count).max()
    else { return }
    let workers = Workers.count
    let scoreMemory = Scratch(T.Compute.self, count: widest * workers, pool: pool)
    let probabilityMemory = Scratch(T.self, count: widest * workers, pool: pool)
    let sumMemory = Scratch(T.Compute.self, count: tallest * dim * workers, pool: pool)
    let (scores, probabilities, sums) = (
      scoreMemory.pointer, probabilityMemory.pointer, sumMemory.pointer
    )
    OpenBLAS.onCallingThread {
      parallelTasks(tiles.count * heads, workers: workers) { task, worker in
        let (tile, head) = (tiles[task / heads], task % heads)
        let (s, p) = (scores + worker * widest, probabilities + worker * widest)
        let o = sums + worker * tallest * dim
        let (rows, keys) = (tile.rows.count, tile.keys.count)
        let diagonal = tile.diagonal(shape)
        let queryOffset = tile.rows.lowerBound * qStride + head * dim
        let kv = head / (heads / kvHeads) * dim + tile.keys.lowerBound * kvStride
        T.multiply(
          q + queryOffset, qStride, false, k + kv, kvStride, true, rows, keys, dim,
          alpha: T.Compute(shape.scale), beta: 0, band: .results(diagonal: diagonal), into: s)
        for r in 0..<rows {
          let row = tile.rows.lowerBound + r
          logSumExp[head * shape.queryCount + row] = T.softmax(
            s + r * keys, into: p + r * keys, visible: tile.visibleKeys(row, shape), count: keys)
        }
        T.multiply(
          p, keys, false, v + kv, kvStride, false, rows, dim, keys, alpha: 1, beta: 0,
          band: .termsAfter(diagonal: diagonal), into: o)
        store(o, rows: rows, columns: dim, into: out + queryOffset, stride: qStride)
      }
    }
  }

  /// P = exp(S − lse), dV += Pᵀ·dO, dP = dO·Vᵀ, dS = P ⊙ (dP − Σ dO ⊙ O)·scale, dQ = dS·K, dK += dSᵀ·Q.
  ///
  /// One task owns a key/value head of a document, so dK and dV are sums in a fixed order without locks.
  private func backward<T: AttentionElement>(
    _ type: T.Type, _ dOut: Operand, _ q: Operand, _ k: Operand, _ v: Operand, _ out: Operand,
    _ logSumExp: Operand, _ shape: AttentionShape, _ dq: Destination, _ dk: Destination,
    _ dv: Destination
  ) {
    fill(dk, with: 0)
    fill(dv, with: 0)
    let (dOut, q, k) = (dOut.pointer(T.self), q.pointer(T.self), k.pointer(T.self))
    let (v, out) = (v.pointer(T.self), out.pointer(T.self))
    let logSumExp = logSumExp.pointer(T.Compute.self)
    let (dq, dk, dv) = (dq.pointer(T.self), dk.pointer(T.self), dv.pointer(T.self))
    let (heads, kvHeads, dim) = (shape.heads, shape.keyValueHeads, shape.headDim)
    let (qStride, kvStride, group) = (heads * dim, kvHeads * dim, heads / kvHeads)
    let tiles = queryTiles(shape)
    let documents = Dictionary(grouping: tiles, by: \.document).sorted { $0.key < $1.key }.map(
      \.value)
    guard let widest = tiles.map({ $0.rows.count * $0.keys.count }).max(),
      let tallest = tiles.map(\.rows.count).max(), let longest = tiles.map(\.keys.count).max()
    else { return }
    let workers = Workers.count
    let scoreMemory = Scratch(T.Compute.self, count: 2 * widest * workers, pool: pool)
    let narrowMemory = Scratch(T.self, count: 2 * widest * workers, pool: pool)
    let perWorker = (2 * longest + tallest) * dim
    let sumMemory = Scratch(T.Compute.self, count: perWorker * workers, pool: pool)
    let (scores, narrow, sums) = (scoreMemory.pointer, narrowMemory.pointer, sumMemory.pointer)
    OpenBLAS.onCallingThread {
      parallelTasks(documents.count * kvHeads, workers: workers) { task, worker in
        let (document, kvHead) = (documents[task / kvHeads], task % kvHeads)
        let (s, p) = (scores + 2 * worker * widest, narrow + 2 * worker * widest)
        let (dp, ds) = (s + widest, p + widest)
        let dkSum = sums + worker * perWorker
        let (dvSum, dqTile) = (dkSum + longest * dim, dkSum + 2 * longest * dim)
        guard let first = document.first?.keys.lowerBound,
          let length = document.map(\.keys.count).max()
        else { return }
        (dkSum).update(repeating: 0, count: length * dim)
        (dvSum).update(repeating: 0, count: length * dim)
        for tile in document {
          let (rows, keys) = (tile.rows.count, tile.keys.count)
          let diagonal = tile.diagonal(shape)
          let kv = kvHead * dim + tile.keys.lowerBound * kvStride
          for head in kvHead * group..<(kvHead + 1) * group {
            let offset = tile.rows.lowerBound * qStride + head * dim
            T.multiply(
              q + offset, qStride, false, k + kv, kvStride, true, rows, keys, dim,
              alpha: T.Compute(shape.scale), beta: 0, band: .results(diagonal: diagonal), into: s)
            T.multiply(
              dOut + offset, qStride, false, v + kv, kvStride, true, rows, keys, dim, alpha: 1,
              beta: 0, band: .results(diagonal: diagonal), into: dp)
            for r in 0..<rows {
              let row = tile.rows.lowerBound + r
              let delta = T.dot(
                dOut + offset + r * qStride, out + offset + r * qStride, count: dim)
              T.softmaxBackward(
                s + r * keys, dp + r * keys, into: p + r * keys, ds + r * keys,
                visible: tile.visibleKeys(row, shape), count: keys,
                logSumExp: logSumExp[head * shape.queryCount + row], delta: delta,
                scale: T.Compute(shape.scale))
              // A single key has all the weight whatever its score. δ and dP are sums in two orders, and AdamW makes whole steps of
              // their difference where there is nothing else.
              if tile.visibleKeys(row, shape) == 1 { ds[r * keys] = T(compute: 0) }
            }
            T.multiply(
              p, keys, true, dOut + offset, qStride, false, keys, dim, rows, alpha: 1, beta: 1,
              band: .termsBefore(diagonal: diagonal), into: dvSum)
            T.multiply(
              ds, keys, false, k + kv, kvStride, false, rows, dim, keys, alpha: 1, beta: 0,
              band: .termsAfter(diagonal: diagonal), into: dqTile)
            store(dqTile, rows: rows, columns: dim, into: dq + offset, stride: qStride)
            T.multiply(
              ds, keys, true, q + offset, qStride, false, keys, dim, rows, alpha: 1, beta: 1,
              band: .termsBefore(diagonal: diagonal), into: dkSum)
          }
        }
        let kv = kvHead * dim + first * kvStride
        store(dkSum, rows: length, columns: dim, into: dk + kv, stride: kvStride)
        store(dvSum, rows: length, columns: dim, into: dv + kv, stride: kvStride)
      }
    }
  }

  /// Dense rows into rows that are `stride` apart.
  @inline(__always)
  private func store<T: AttentionElement>(
    _ x: UnsafePointer<T.Compute>, rows: Int, columns: Int, into y: UnsafeMutablePointer<T>,
    stride: Int
  ) {
    for r in 0..<rows { T.convert(x + r * columns, into: y + r * stride, count: columns) }
  }

  /// A run of query rows of one document and the keys that the last of them sees.
  struct QueryTile {
    let document: Int
    let rows: Range<Int>
    let keys: Range<Int>

    /// How many of `keys` query `row` sees.
    @inline(__always)
    func visibleKeys(_ row: Int, _ shape: AttentionShape) -> Int {
      row + shape.keyOffset + 1 - keys.lowerBound
    }

    /// The last of `keys` that the tile's first row sees.
    func diagonal(_ shape: AttentionShape) -> Int { visibleKeys(rows.lowerBound, shape) - 1 }
  }

  func queryTiles(_ shape: AttentionShape) -> [QueryTile] {
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
}
