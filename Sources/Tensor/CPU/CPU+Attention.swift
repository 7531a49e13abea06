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

  /// S = scale·Q·Kᵀ, E = exp(S − max S), O = E·V / Σ E, for one tile of rows and one head at a time.
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
    let workers = min(Workers.count, tiles.count * heads)
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
          let (largest, sum) = T.exponentials(
            s + r * keys, into: p + r * keys, visible: tile.visibleKeys(row, shape), count: keys)
          logSumExp[head * shape.queryCount + row] = largest + T.Compute.logarithm(sum)
          // In place of a score that is done with.
          s[r * keys] = 1 / sum
        }
        T.multiply(
          p, keys, false, v + kv, kvStride, false, rows, dim, keys, alpha: 1, beta: 0,
          band: .termsAfter(diagonal: diagonal), into: o)
        for r in 0..<rows { Self.scale(o + r * dim, by: s[r * keys], count: dim) }
        store(o, rows: rows, columns: dim, into: out + queryOffset, stride: qStride)
      }
    }
  }

  /// P = exp(S − lse), dV += Pᵀ·dO, dP = dO·Vᵀ, dS = P ⊙ (dP − Σ dO ⊙ O)·scale, dQ = dS·K, dK += dSᵀ·Q.
  ///
  /// One task owns a document and some of the query heads of a key/value head. Its dK and dV are sums in a fixed order without
  /// locks; those of the tasks of a key/value head are added in order.
  private func backward<T: AttentionElement>(
    _ type: T.Type, _ dOut: Operand, _ q: Operand, _ k: Operand, _ v: Operand, _ out: Operand,
    _ logSumExp: Operand, _ shape: AttentionShape, _ dq: Destination, _ dk: Destination,
    _ dv: Destination
  ) {
    let (dOut, q, k) = (dOut.pointer(T.self), q.pointer(T.self), k.pointer(T.self))
    let (v, out) = (v.pointer(T.self), out.pointer(T.self))
    let logSumExp = logSumExp.pointer(T.Compute.self)
    let dq = dq.pointer(T.self)
    let (heads, kvHeads, dim) = (shape.heads, shape.keyValueHeads, shape.headDim)
    let (qStride, kvStride, group) = (heads * dim, kvHeads * dim, heads / kvHeads)
    let tiles = queryTiles(shape)
    let documents = Dictionary(grouping: tiles, by: \.document).sorted { $0.key < $1.key }.map(
      \.value)
    guard let widest = tiles.map({ $0.rows.count * $0.keys.count }).max(),
      let tallest = tiles.map(\.rows.count).max()
    else { return }
    let parts = shape.headParts(documents: documents.count)
    let tasks = documents.count * kvHeads * parts
    let workers = min(Workers.count, tasks)
    let scoreMemory = Scratch(T.Compute.self, count: 2 * widest * workers, pool: pool)
    let narrowMemory = Scratch(T.self, count: 2 * widest * workers, pool: pool)
    let rowMemory = Scratch(T.Compute.self, count: tallest * dim * workers, pool: pool)
    let (scores, narrow, rowSums) = (scoreMemory.pointer, narrowMemory.pointer, rowMemory.pointer)
    // [parts, K, M, D] of dK, and behind them as many of dV.
    let keySumCount = parts * kvHeads * shape.keyCount * dim
    let keySumMemory = Scratch(T.Compute.self, count: 2 * keySumCount, pool: pool)
    let dkSums = keySumMemory.pointer
    let dvSums = dkSums + keySumCount
    OpenBLAS.onCallingThread {
      parallelTasks(tasks, workers: workers) { task, worker in
        let document = documents[task / (kvHeads * parts)]
        let (kvHead, part) = (task / parts % kvHeads, task % parts)
        let (s, p) = (scores + 2 * worker * widest, narrow + 2 * worker * widest)
        let (dp, ds) = (s + widest, p + widest)
        let dqTile = rowSums + worker * tallest * dim
        guard let first = document.first?.keys.lowerBound,
          let length = document.map(\.keys.count).max()
        else { return }
        let sums = ((part * kvHeads + kvHead) * shape.keyCount + first) * dim
        let (dkSum, dvSum) = (dkSums + sums, dvSums + sums)
        dkSum.update(repeating: 0, count: length * dim)
        dvSum.update(repeating: 0, count: length * dim)
        for tile in document {
          let (rows, keys) = (tile.rows.count, tile.keys.count)
          let diagonal = tile.diagonal(shape)
          let kv = kvHead * dim + tile.keys.lowerBound * kvStride
          for member in part * group / parts..<(part + 1) * group / parts {
            let head = kvHead * group + member
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
      }
    }
    addParts(dkSums, parts, shape, into: dk.pointer(T.self))
    addParts(dvSums, parts, shape, into: dv.pointer(T.self))
  }

  /// y [M, K, D] ← Σ of x [parts, K, M, D] over the parts, in their order; x is overwritten.
  private func addParts<T: AttentionElement>(
    _ x: UnsafeMutablePointer<T.Compute>, _ parts: Int, _ shape: AttentionShape,
    into y: UnsafeMutablePointer<T>
  ) {
    let (kvHeads, keys, dim) = (shape.keyValueHeads, shape.keyCount, shape.headDim)
    let partSize = kvHeads * keys * dim
    parallelFor(kvHeads * keys, grain: CPUBackend.rowGrain(columns: parts * dim)) { range in
      for row in range {
        let sum = x + row * dim
        for part in 1..<max(parts, 1) {
          let addend = sum + part * partSize
          var c = 0
          while c + 8 <= dim {
            T.Compute.store(T.Compute.load(sum + c) + T.Compute.load(addend + c), sum + c)
            c += 8
          }
          while c < dim {
            sum[c] += addend[c]
            c += 1
          }
        }
        T.convert(sum, into: y + (row % keys * kvHeads + row / keys) * dim, count: dim)
      }
    }
  }

  /// x ← x·factor.
  @inline(__always)
  private static func scale<C: KernelCompute>(
    _ x: UnsafeMutablePointer<C>, by factor: C, count: Int
  ) {
    var c = 0
    while c + 8 <= count {
      C.store(C.load(x + c) * factor, x + c)
      c += 8
    }
    while c < count {
      x[c] *= factor
      c += 1
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
      let height = AttentionShape.tileRows(keys: keys.count)
      for start in stride(from: first, to: last, by: height) {
        let end = min(start + height, last)
        tiles.append(
          QueryTile(
            document: document, rows: start..<end, keys: keys.lowerBound..<end + shape.keyOffset))
      }
    }
    return tiles
  }
}

extension AttentionShape {
  /// Query rows of a tile over so many keys. Of very many keys there are fewer, so that a thread's scores stay within 8 MB.
  static func tileRows(keys: Int) -> Int { max(16, min(128, (1 << 21) / max(keys, 1))) }

  /// Tasks into which backward divides the query heads of a key/value head: enough for 64 threads where there are so many heads.
  /// Each has sums of its own for dK and dV.
  func headParts(documents: Int) -> Int {
    let tasks = max(documents * keyValueHeads, 1)
    // No more than 256 MB of sums, so that long rows do not pay for threads with memory.
    let most = (1 << 28) / max(8 * keyCount * keyValueHeads * headDim, 1)
    return max(1, min(heads / max(keyValueHeads, 1), (64 + tasks - 1) / tasks, most))
  }
}
