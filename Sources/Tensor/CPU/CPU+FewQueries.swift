// Attention of few queries, as in decoding. Keys and values are what has to be moved: each is read once for every eight pairs of a
// query and a head that share it, in the form in which it is kept, and no matrix product is made of them.

import CKernels
import Glibc

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
  /// Keys of a task: a long document keeps many threads busy, however few its heads are.
  static let fewQueryKeys = 512

  /// What `attention` does, for few queries: q, out [N, H, D], k and v [M, K, D] in float32 or bfloat16, logSumExp [H, N] float32.
  /// Scores, probabilities and sums are float32; `out` is rounded once.
  ///
  /// Every part of a document's keys gives its own softmax and sums; those of all parts are added in the order of the parts,
  /// each with the share of its exponentials.
  func attendFewQueries<T: FewQueryElement>(
    _ type: T.Type, _ q: Operand, _ k: Operand, _ v: Operand, _ shape: AttentionShape,
    _ out: Destination, _ logSumExp: Destination
  ) {
    let (q, k, v) = (q.pointer(T.self), k.pointer(T.self), v.pointer(T.self))
    let (heads, kvHeads, dim) = (shape.heads, shape.keyValueHeads, shape.headDim)
    let (group, kvStride) = (heads / kvHeads, kvHeads * dim)
    let parts = FewQueryParts(queryTiles(shape), shape)
    guard !parts.items.isEmpty else { return }
    let (padded, rowLimit) = (parts.padded, min(Self.fewRows, Self.fewQueries * group))
    let workers = min(Workers.count, parts.items.count * kvHeads)
    let perWorker = rowLimit * (padded + Self.fewQueryKeys)
    let memory = Scratch(Float.self, count: perWorker * workers, pool: pool)
    let sumMemory = Scratch(Float.self, count: parts.slotCount * padded, pool: pool)
    let levelMemory = Scratch(Float.self, count: parts.slotCount, pool: pool)
    let (scratch, sums, levels) = (memory.pointer, sumMemory.pointer, levelMemory.pointer)
    parallelTasks(parts.items.count * kvHeads, workers: workers) { task, worker in
      let (item, kvHead) = (parts.items[task / kvHeads], task % kvHeads)
      let keys = item.keys.count
      let kv = kvHead * dim + item.keys.lowerBound * kvStride
      let queries = scratch + worker * perWorker
      let scores = queries + rowLimit * padded
      // Pairs of a token and a head of the group, in the order of tokens; the sums of those of one token lie together.
      let pairs = item.rows.count * group
      for start in stride(from: 0, to: pairs, by: rowLimit) {
        let count = min(rowLimit, pairs - start)
        func place(_ i: Int) -> (token: Int, head: Int, slot: Int) {
          let (row, head) = ((start + i) / group, kvHead * group + (start + i) % group)
          return (item.rows.lowerBound + row, head, item.firstSlot + row * heads + head)
        }
        for i in 0..<count {
          let (token, head, _) = place(i)
          T.arrange(
            q + (token * heads + head) * dim, by: Float(shape.scale), into: queries + i * padded,
            count: dim)
        }
        T.multiply(
          k + kv, stride: kvStride, queries, count: count, into: scores, rows: keys, columns: dim)
        for i in 0..<count {
          let (token, _, slot) = place(i)
          let visible = min(token + shape.keyOffset + 1 - item.keys.lowerBound, keys)
          if visible > 0 {
            levels[slot] = ck_softmax_f32(scores + i * keys, scores + i * keys, visible, keys)
          } else {
            levels[slot] = -.infinity
            (scores + i * keys).update(repeating: 0, count: keys)
          }
        }
        // In place of the queries, which are done with.
        T.sumRows(
          v + kv, stride: kvStride, weights: scores, count: count, into: queries, rows: keys,
          columns: dim)
        for i in 0..<count {
          (sums + place(i).slot * padded).update(from: queries + i * padded, count: padded)
        }
      }
    }
    parts.combine(
      sums, levels, shape, into: out.pointer(T.self), logSumExp.pointer(Float.self))
  }
}

/// The queries and keys of the tasks of a call, and where their sums are.
private struct FewQueryParts {
  /// Query rows, a part of the keys that they see, and the place of the first row's first head among the sums.
  struct Item {
    let rows, keys: Range<Int>
    let firstSlot: Int
  }

  /// The parts, those of the same rows behind one another.
  private(set) var items: [Item] = []
  /// Sums of all items.
  private(set) var slotCount = 0
  /// Elements of a sum.
  let padded: Int

  init(_ tiles: [CPUBackend.QueryTile], _ shape: AttentionShape) {
    padded = (shape.headDim + 31) / 32 * 32
    for tile in tiles {
      let step = CPUBackend.fewQueryKeys
      for first in stride(from: tile.keys.lowerBound, to: tile.keys.upperBound, by: step) {
        let keys = first..<min(first + step, tile.keys.upperBound)
        items.append(Item(rows: tile.rows, keys: keys, firstSlot: slotCount))
        slotCount += tile.rows.count * shape.heads
      }
    }
  }

  /// out ← Σ_p sums_p·exp(level_p − logSumExp) with logSumExp = log Σ_p exp(level_p). Changes the sums.
  func combine<T: FewQueryElement>(
    _ sums: UnsafeMutablePointer<Float>, _ levels: UnsafeMutablePointer<Float>,
    _ shape: AttentionShape, into out: UnsafeMutablePointer<T>,
    _ logSumExp: UnsafeMutablePointer<Float>
  ) {
    let (heads, dim) = (shape.heads, shape.headDim)
    var start = 0
    while start < items.count {
      let rows = items[start].rows
      let end = items[start...].firstIndex { $0.rows != rows } ?? items.count
      for row in 0..<rows.count * heads {
        let (token, head) = (rows.lowerBound + row / heads, row % heads)
        let slots = items[start..<end].map { $0.firstSlot + row }
        var total = levels[slots[0]]
        let sum = sums + slots[0] * padded
        if slots.count > 1 {
          let largest = slots.reduce(-Float.infinity) { max($0, levels[$1]) }
          total = largest + logf(slots.reduce(0) { $0 + expf(levels[$1] - largest) })
          for (index, slot) in slots.enumerated() {
            let (part, share) = (sums + slot * padded, expf(levels[slot] - total))
            for c in 0..<padded { sum[c] = (index == 0 ? 0 : sum[c]) + part[c] * share }
          }
        }
        logSumExp[head * shape.queryCount + token] = total
        T.finish(sum, into: out + (token * heads + head) * dim, count: dim)
      }
      start = end
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

  static func finish(_ x: UnsafePointer<Float>, into y: UnsafeMutablePointer<BFloat16>, count: Int)
  {
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
