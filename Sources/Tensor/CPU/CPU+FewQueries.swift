// Attention of few queries, as in decoding. Keys and values are what has to be moved: each is read once for all heads that share
// it, in the form in which it is kept, and no matrix product is made of them.

import CKernels

/// An element type of keys and values with kernels for few queries.
protocol FewQueryElement: AttentionElement where Compute == Float {
  /// y[q, r] ← Σ_c W[r, c]·x[q, c]: see `ck_matvec_f32`.
  static func multiply(
    _ w: UnsafePointer<Self>, stride: Int, _ x: UnsafePointer<Float>, count: Int,
    into y: UnsafeMutablePointer<Float>, rows: Int, columns: Int)
  /// y[q, c] ← Σ_r x[q, r]·W[r, c]: see `ck_weighted_rows_f32`.
  static func sumRows(
    _ w: UnsafePointer<Self>, stride: Int, weights x: UnsafePointer<Float>, count: Int,
    into y: UnsafeMutablePointer<Float>, rows: Int, columns: Int)
  /// y ← x·factor in the order in which `multiply` takes it, with zeros up to a multiple of 32 elements.
  static func arrange(
    _ x: UnsafePointer<Self>, by factor: Float, into y: UnsafeMutablePointer<Float>, count: Int)
  /// y ← x, which `sumRows` made.
  static func finish(_ x: UnsafePointer<Float>, into y: UnsafeMutablePointer<Self>, count: Int)
}

extension CPUBackend {
  /// Queries up to which attention is one of these.
  static let fewQueries = 4

  /// What `attention` does, in any number of tiles of few queries.
  func attendFewQueries<T: FewQueryElement>(
    _ type: T.Type, _ q: Operand, _ k: Operand, _ v: Operand, _ shape: AttentionShape,
    _ out: Destination, _ logSumExp: Destination
  ) {
    let (q, k, v) = (q.pointer(T.self), k.pointer(T.self), v.pointer(T.self))
    let (out, logSumExp) = (out.pointer(T.self), logSumExp.pointer(Float.self))
    let (heads, kvHeads, dim) = (shape.heads, shape.keyValueHeads, shape.headDim)
    let (group, kvStride, padded) = (heads / kvHeads, kvHeads * dim, (dim + 31) / 32 * 32)
    let tiles = queryTiles(shape)
    guard let longest = tiles.map(\.keys.count).max() else { return }
    let workers = Workers.count
    let rowLimit = min(Self.fewRows, Self.fewQueries * group)
    let perWorker = rowLimit * (2 * padded + longest)
    let memory = Scratch(Float.self, count: perWorker * workers, pool: pool)
    let scratch = memory.pointer
    parallelTasks(tiles.count * kvHeads, workers: workers) { task, worker in
      let (tile, kvHead) = (tiles[task / kvHeads], task % kvHeads)
      let keys = tile.keys.count
      let kv = kvHead * dim + tile.keys.lowerBound * kvStride
      let queries = scratch + worker * perWorker
      let (sums, scores) = (queries + rowLimit * padded, queries + 2 * rowLimit * padded)
      // Pairs of a token and a head of the group, in the order of tokens.
      let pairs = tile.rows.lowerBound * group..<tile.rows.upperBound * group
      for start in stride(from: pairs.lowerBound, to: pairs.upperBound, by: rowLimit) {
        let count = min(rowLimit, pairs.upperBound - start)
        func place(_ i: Int) -> (token: Int, head: Int) {
          ((start + i) / group, kvHead * group + (start + i) % group)
        }
        for i in 0..<count {
          let (token, head) = place(i)
          T.arrange(
            q + (token * heads + head) * dim, by: Float(shape.scale), into: queries + i * padded,
            count: dim)
        }
        T.multiply(
          k + kv, stride: kvStride, queries, count: count, into: scores, rows: keys, columns: dim)
        for i in 0..<count {
          let (token, head) = place(i)
          logSumExp[head * shape.queryCount + token] = Float.softmax(
            scores + i * keys, into: scores + i * keys, visible: tile.visibleKeys(token, shape),
            count: keys)
        }
        T.sumRows(
          v + kv, stride: kvStride, weights: scores, count: count, into: sums, rows: keys,
          columns: dim)
        for i in 0..<count {
          let (token, head) = place(i)
          T.finish(sums + i * padded, into: out + (token * heads + head) * dim, count: dim)
        }
      }
    }
  }
}

extension Float: FewQueryElement {
  static func multiply(
    _ w: UnsafePointer<Float>, stride: Int, _ x: UnsafePointer<Float>, count: Int,
    into y: UnsafeMutablePointer<Float>, rows: Int, columns: Int
  ) { ck_matvec_f32(w, stride, x, count, y, rows, rows, columns) }

  static func sumRows(
    _ w: UnsafePointer<Float>, stride: Int, weights x: UnsafePointer<Float>, count: Int,
    into y: UnsafeMutablePointer<Float>, rows: Int, columns: Int
  ) { ck_weighted_rows_f32(w, stride, x, rows, count, y, rows, columns) }

  static func arrange(
    _ x: UnsafePointer<Float>, by factor: Float, into y: UnsafeMutablePointer<Float>, count: Int
  ) {
    for i in 0..<count { y[i] = x[i] * factor }
    for i in count..<(count + 31) / 32 * 32 { y[i] = 0 }
  }

  static func finish(_ x: UnsafePointer<Float>, into y: UnsafeMutablePointer<Float>, count: Int) {
    y.update(from: x, count: count)
  }
}

extension BFloat16: FewQueryElement {
  static func multiply(
    _ w: UnsafePointer<BFloat16>, stride: Int, _ x: UnsafePointer<Float>, count: Int,
    into y: UnsafeMutablePointer<Float>, rows: Int, columns: Int
  ) { ck_matvec_bf16(bits(w), stride, x, count, y, rows, rows, columns) }

  static func sumRows(
    _ w: UnsafePointer<BFloat16>, stride: Int, weights x: UnsafePointer<Float>, count: Int,
    into y: UnsafeMutablePointer<Float>, rows: Int, columns: Int
  ) { ck_weighted_rows_bf16(bits(w), stride, x, rows, count, y, rows, columns) }

  static func arrange(
    _ x: UnsafePointer<BFloat16>, by factor: Float, into y: UnsafeMutablePointer<Float>, count: Int
  ) {
    withUnsafeTemporaryAllocation(of: Float.self, capacity: count) { wide in
      guard let wide = wide.baseAddress else { return }
      for i in 0..<count { wide[i] = x[i].float * factor }
      ck_split_pairs(wide, y, count)
    }
  }

  static func finish(_ x: UnsafePointer<Float>, into y: UnsafeMutablePointer<BFloat16>, count: Int) {
    withUnsafeTemporaryAllocation(of: Float.self, capacity: count) { ordered in
      guard let ordered = ordered.baseAddress else { return }
      ck_join_pairs(x, ordered, count)
      convert(ordered, into: y, count: count)
    }
  }

  private static func bits(_ x: UnsafePointer<BFloat16>) -> UnsafePointer<UInt16> {
    UnsafeRawPointer(x).assumingMemoryBound(to: UInt16.self)
  }
}
