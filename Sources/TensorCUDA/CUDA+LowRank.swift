// The low-rank part of a product as more terms of its sums: a·Wᵀ + s·h·Bᵀ = [a | s·h]·[W | B]ᵀ. By itself the part is a pass over the
// result, which is much longer than the factors where a map widens.

import Tensor

extension CUDABackend {
  /// Elements that joining has to save, each read and written: in bfloat16 16 MB, which a large GPU moves in as long as it takes to launch the three
  /// kernels more.
  package static let leastSaving = 1 << 22
  /// Bytes of the rows to which a low-rank part is joined; more are not made, so that they can be set aside.
  static let joinedByteCount = 1 << 27

  /// Whether the low-rank part of a product [m, k]·[k, n] is joined to it.
  ///
  /// By itself the part is written before the product, which reads it again: m·n elements. To join it, a is copied into longer rows, and so is
  /// a weight that is not unpacked in any case: m·k and n·k elements.
  func joins(_ lowRank: LowRankOperand, to w: PackedOperand, _ dtype: DType, m: Int, n: Int, k: Int)
    -> Bool
  {
    let copiesWeight: Bool
    switch w {
    case .narrow(let w):
      guard w.dtype == dtype else { return false }
      copiesWeight = true
    case .nf4: copiesWeight = false
    case .compressed: return false
    }
    // Eight elements that are unpacked together are of one row, the weight is unpacked as a whole, and tensor cores want rows that begin at
    // multiples of 16 bytes.
    let stride = k + lowRank.rank
    guard n % 8 == 0, k % 8 == 0, lowRank.rank % 8 == 0, n * stride <= Self.tileElementCount,
      m * stride * dtype.byteWidth <= Self.joinedByteCount
    else { return false }
    return m * n - m * k - (copiesWeight ? n * k : 0) >= leastSaving
  }

  /// c ← [a | s·h]·[W | B]ᵀ + β·c where the weight is transposed, else [a | s·h]·[W; B] + β·c.
  func multiplyJoined(
    _ a: Operand, _ w: PackedOperand, transposeWeight: Bool, m: Int, n: Int, k: Int, beta: Double,
    _ lowRank: LowRankOperand, into c: Destination
  ) {
    let (rank, stride) = (lowRank.rank, k + lowRank.rank)
    let joined = scratch(a.dtype, m * stride)
    join(a, lowRank.h, rows: m, rank: rank, by: lowRank.scale, into: joined.destination, stride)
    let product = MatrixProduct(
      a.dtype, into: c.dtype, m: m, n: n, k: stride, transposeA: false,
      transposeB: transposeWeight)
    let count = n * stride
    let multiply = { (weight: Operand) in
      self.multiply(product, joined.destination.operand, weight, into: c, beta: beta)
    }
    let fill = { (tile: Destination, stream: Driver.Handle?) in
      // The factor B is written by the main stream, which joins it.
      if transposeWeight {
        self.unpackRows(w, columns: k, into: tile, stride, on: stream)
      } else {
        self.unpack(w, from: 0, into: tile.slice(0, n * k), on: stream)
      }
    }
    let complete = { (tile: Destination) in
      if transposeWeight {
        self.join(
          nil, lowRank.b, rows: n, rank: rank, by: 1, into: tile.slice(k, tile.count - k), stride)
      } else {
        self.cast(lowRank.b, into: tile.slice(n * k, n * rank))
      }
    }
    if case .nf4(let weight) = w, let unpacking = weightUnpacking {
      unpacking.unpack(
        a.dtype, count, codes: weight.codes.address, by: self, fill: fill
      ) { tile in
        complete(Destination(address: tile.address, dtype: tile.dtype, count: tile.count))
        multiply(tile)
      }
    } else {
      let tile = scratch(a.dtype, count)
      fill(tile.destination, context.stream)
      complete(tile.destination)
      multiply(tile.destination.operand)
      withExtendedLifetime(tile) {}
    }
    withExtendedLifetime(joined) {}
  }

  /// Each row of y, `stride` from the one before, ← the row of x and then that of h times a factor, of those that are there.
  func join(
    _ x: Operand?, _ h: Operand?, rows: Int, rank: Int, by factor: Double, into y: Destination,
    _ stride: Int, on stream: Driver.Handle? = nil
  ) {
    launch(
      Kernel("memory", "join_rows", y.dtype), grid: (x: (rows + 7) / 8, y: 1), block: (32, 8),
      on: stream, x?.pointer ?? 0, h?.pointer ?? 0, y.pointer, Int32(rows),
      Int32(x.map { $0.count / rows } ?? 0), Int32(rank), Int32(stride), factor)
  }
}
