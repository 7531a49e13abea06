// Products with a weight in few bits. Rows of the weight are unpacked into a tile that stays in cache and multiplied;
// with few rows on the other side (decoding) each row of the weight is multiplied where it is (CPU+FewRows.swift).

import CKernels

extension CPUBackend {
  /// Elements of a tile.
  static let tileSize = 1 << 20
  /// Rows of the other factor up to which no tile is worth while, where few rows have no kernel of their own.
  static let directRows = 4

  package func matmul(
    _ a: Operand, packed w: PackedOperand, transposeWeight: Bool, m: Int, rows: Int, columns: Int,
    beta: Double, plus lowRank: LowRankOperand?, into c: Destination
  ) {
    guard c.count > 0 else { return }
    let kernels = PackedKernels(
      a, w, into: c, transposeWeight: transposeWeight, m: m, columns: columns)
    if case .blocks = kernels, rows > 0, columns > 0 {
      multiplyInBlocks(a, w, transposeWeight, m, rows, columns, Float(beta), lowRank, c)
      return
    }
    if case .fewRows = kernels, rows > 0, columns > 0 {
      let product = PackedProduct(weight: w, rows: rows, lowRank: lowRank, result: c)
      multiplyFewRows(a, [product], m: m, columns: columns, beta: beta)
      return
    }
    if let lowRank {
      // First, since the product with the weight has so much to compute that reading its result costs nothing.
      matmul(
        lowRank.h, transposeA: false, lowRank.b, transposeB: transposeWeight, m: m,
        n: transposeWeight ? rows : columns, k: lowRank.rank, alpha: lowRank.scale, beta: beta,
        into: c)
    }
    let beta = lowRank == nil ? beta : 1
    guard rows > 0, columns > 0 else {
      if beta == 0 { fill(c, with: 0) } else { scale(c.operand, by: beta, into: c) }
      return
    }
    switch kernels {
    case .dense(let w):
      matmul(
        a, transposeA: false, w, transposeB: transposeWeight, m: m,
        n: transposeWeight ? rows : columns, k: transposeWeight ? columns : rows, alpha: 1,
        beta: beta, into: c)
      return
    case .fewRows, .blocks, .unpacking: break
    }
    switch (a.dtype, c.dtype) {
    case (.float32, .float32):
      multiply(Float.self, a, w, transposeWeight, m, rows, columns, Float(beta), c)
    case (.float64, .float64):
      multiply(Double.self, a, w, transposeWeight, m, rows, columns, beta, c)
    case (.bfloat16, .bfloat16) where w.isUnpackedWhole(m: m):
      multiplyBFloat16(a, w, transposeWeight, m, rows, columns, beta, c)
    case (.bfloat16, .bfloat16):
      let wideA = Scratch(Float.self, count: a.count, pool: pool)
      let wideC = Scratch(Float.self, count: c.count, pool: pool)
      cast(a, into: wideA.destination)
      if beta != 0 { cast(c.operand, into: wideC.destination) }
      multiply(
        Float.self, wideA.destination.operand, w, transposeWeight, m, rows, columns, Float(beta),
        wideC.destination, roundsWeight: true)
      cast(wideC.destination.operand, into: c)
    default:
      preconditionFailure(
        "matmul: no packed kernel for \(a.dtype.rawValue) into \(c.dtype.rawValue)")
    }
  }

  package func matmul(_ a: Operand, packed products: [PackedProduct], m: Int, columns: Int) {
    if PackedKernels.commonForm(a, products, m: m, columns: columns) != nil {
      multiplyFewRows(a, products, m: m, columns: columns, beta: 0)
      return
    }
    for product in products {
      matmul(
        a, packed: product.weight, transposeWeight: true, m: m, rows: product.rows,
        columns: columns, beta: 0, plus: product.lowRank, into: product.result)
    }
  }

  /// The product with the kernels that unpack the weight on the way; a low-rank part goes on where its terms end.
  private func multiplyInBlocks(
    _ a: Operand, _ w: PackedOperand, _ transposeWeight: Bool, _ m: Int, _ rows: Int,
    _ columns: Int, _ beta: Float, _ lowRank: LowRankOperand?, _ c: Destination
  ) {
    let (n, k) = transposeWeight ? (rows, columns) : (columns, rows)
    let x = ck_factor(a.pointer(UInt8.self), a.dtype, stride: k, isTransposed: false)
    func multiply(_ x: ck_factor, _ weight: ck_factor, _ k: Int) {
      BlockedProduct(
        m: m, n: n, k: k, result: c.dtype,
        panels: BlockedProduct.panels(a.dtype, w.dtype(beside: a.dtype))
      ).run(
        x, weight, alpha: 1, beta: beta, into: c, stride: n, pool: pool)
    }
    func run(_ weight: ck_factor) {
      guard let lowRank, lowRank.rank > 0 else { return multiply(x, weight, k) }
      let h = ck_factor(
        lowRank.h.pointer(UInt8.self), lowRank.h.dtype, stride: lowRank.rank, isTransposed: false)
      let b = ck_factor(
        lowRank.b.pointer(UInt8.self), lowRank.b.dtype,
        stride: transposeWeight ? lowRank.rank : n, isTransposed: transposeWeight)
      withUnsafePointer(to: h) { h in
        withUnsafePointer(to: b) { b in
          var (x, weight) = (x, weight)
          (x.terms, x.next, x.next_scale) = (k, h, Float(lowRank.scale))
          (weight.terms, weight.next) = (k, b)
          multiply(x, weight, k + lowRank.rank)
        }
      }
    }
    switch w {
    case .narrow(let w):
      run(
        ck_factor(
          w.pointer(UInt8.self), w.dtype, stride: columns, isTransposed: transposeWeight))
    case .nf4(let w):
      withUnsafePointer(to: ck_nf4(w)) {
        run(ck_factor($0, beside: a.dtype, stride: columns, isTransposed: transposeWeight))
      }
    case .compressed(let w):
      withUnsafePointer(to: ck_compressed(w)) {
        run(ck_factor($0, stride: columns, isTransposed: transposeWeight))
      }
    }
  }

  /// The product by the weight rounded to bfloat16, which is unpacked whole: tiles would leave gaps between the rows of c,
  /// and oneDNN's best kernels write dense results. The memory is the pool's and serves the next product.
  private func multiplyBFloat16(
    _ a: Operand, _ w: PackedOperand, _ transposeWeight: Bool, _ m: Int, _ rows: Int,
    _ columns: Int, _ beta: Double, _ c: Destination
  ) {
    let unpacked = Scratch(BFloat16.self, count: rows * columns, pool: pool)
    unpack(w, from: 0, into: unpacked.destination)
    matmul(
      a, transposeA: false, unpacked.destination.operand, transposeB: transposeWeight, m: m,
      n: transposeWeight ? rows : columns, k: transposeWeight ? columns : rows, alpha: 1,
      beta: beta, into: c)
  }

  @inline(__always)
  private func multiply<T: BLASElement>(
    _ type: T.Type, _ a: Operand, _ w: PackedOperand, _ transposeWeight: Bool, _ m: Int,
    _ rows: Int, _ columns: Int, _ beta: T, _ c: Destination, roundsWeight: Bool = false
  ) {
    let (a, c) = (a.pointer(T.self), c.pointer(T.self))
    let product = UnpackedProduct(
      transposeWeight: transposeWeight, m: m, rows: rows, columns: columns, pool: pool)
    switch w {
    case .nf4(let w):
      let decoder = NF4Decoder(w, pool: pool)
      product.run(a, beta, c) { first, count, y in
        decoder.decode(from: first, count: count, into: y)
        if roundsWeight { for i in 0..<count { y[i] = T(BFloat16(Float(y[i])).float) } }
      }
    case .compressed(let w):
      let matrix = ck_compressed(w)
      product.run(a, beta, c) { first, count, y in
        withUnsafePointer(to: matrix) { $0.unpack(from: first, count: count, into: y) }
      }
    case .narrow(let w):
      switch w.dtype {
      case .bfloat16:
        let source = w.pointer(BFloat16.self)
        product.run(a, beta, c) { first, count, y in widen(source + first, count, y) }
      case .float16:
        let source = w.pointer(Half.self)
        product.run(a, beta, c) { first, count, y in
          for i in 0..<count { y[i] = T(source[first + i].float) }
        }
      default: preconditionFailure("matmul: no packed kernel for \(w.dtype.rawValue)")
      }
    }
  }

  /// The sizes of a product, and the two ways to compute it.
  private struct UnpackedProduct {
    let transposeWeight: Bool
    let m, rows, columns: Int
    let pool: BufferPool

    /// `unpack` writes elements of the weight: (first, count, target).
    @inline(__always)
    func run<T: BLASElement>(
      _ a: UnsafePointer<T>, _ beta: T, _ c: UnsafeMutablePointer<T>,
      unpack: (Int, Int, UnsafeMutablePointer<T>) -> Void
    ) {
      if transposeWeight && m <= CPUBackend.directRows {
        runDirectly(a, beta, c, unpack: unpack)
      } else {
        runInTiles(a, beta, c, unpack: unpack)
      }
    }

    @inline(__always)
    private func runDirectly<T: BLASElement>(
      _ a: UnsafePointer<T>, _ beta: T, _ c: UnsafeMutablePointer<T>,
      unpack: (Int, Int, UnsafeMutablePointer<T>) -> Void
    ) {
      let grain = CPUBackend.rowGrain(columns: columns)
      let workers = Workers.count
      let buffer = Scratch(T.self, count: workers * columns, pool: pool)
      let scratch = buffer.pointer
      parallelTasks((rows + grain - 1) / grain, workers: workers) { task, worker in
        let row = scratch + worker * columns
        for f in task * grain..<min(rows, (task + 1) * grain) {
          unpack(f * columns, columns, row)
          for n in 0..<m {
            let value = dot(a + n * columns, UnsafePointer(row), columns)
            c[n * rows + f] = beta == 0 ? value : value + beta * c[n * rows + f]
          }
        }
      }
    }

    @inline(__always)
    private func runInTiles<T: BLASElement>(
      _ a: UnsafePointer<T>, _ beta: T, _ c: UnsafeMutablePointer<T>,
      unpack: (Int, Int, UnsafeMutablePointer<T>) -> Void
    ) {
      let tileRows = max(1, min(rows, CPUBackend.tileSize / columns))
      let buffer = Scratch(T.self, count: tileRows * columns, pool: pool)
      let tile = buffer.pointer
      for first in stride(from: 0, to: rows, by: tileRows) {
        let count = min(tileRows, rows - first)
        parallelFor(count * columns, grain: CPUBackend.elementwiseGrain) { range in
          unpack(first * columns + range.lowerBound, range.count, tile + range.lowerBound)
        }
        if transposeWeight {
          // c[:, tile] = a · tileᵀ
          T.gemm(
            false, true, m, count, columns, 1, a, columns, tile, columns, beta, c + first, rows)
        } else {
          // c += a[:, tile] · tile
          T.gemm(
            false, false, m, columns, count, 1, a + first, rows, tile, columns,
            first == 0 ? beta : 1, c, columns)
        }
      }
    }
  }
}

/// Which kernels multiply by a weight, by types and sizes. `SizingBackend` counts what they take from the pool by the same choice.
enum PackedKernels {
  /// A row of the weight is multiplied where it is.
  case fewRows
  /// The weight is unpacked as it is packed, and a low-rank part goes on where its terms end.
  case blocks
  /// The weight is of the other factor's type: the product of two dense matrices.
  case dense(Operand)
  /// The weight is unpacked piece by piece.
  case unpacking

  /// The kernels of c ← a·Wᵀ or a·W for a of `m` rows and a weight of `columns` columns.
  init(
    _ a: Operand, _ w: PackedOperand, into c: Destination, transposeWeight: Bool, m: Int,
    columns: Int
  ) {
    let isOfOneType = a.dtype == c.dtype
    if transposeWeight, m <= CPUBackend.fewRows, a.dtype != .float64, isOfOneType,
      w.isMultipliedInFewRows(columns: columns)
    {
      self = .fewRows
    } else if BlockedProduct.isFastest(for: a.dtype), w.isPackedByKernels, isOfOneType {
      self = .blocks
    } else if case .narrow(let w) = w, w.dtype == a.dtype {
      self = .dense(w)
    } else {
      self = .unpacking
    }
  }
}

extension PackedKernels {
  /// How a row of each weight is read where all can be multiplied in one go; nil where they cannot.
  static func commonForm(_ a: Operand, _ products: [PackedProduct], m: Int, columns: Int)
    -> FewRowsForm?
  {
    var form: FewRowsForm?
    for product in products {
      let kernels = PackedKernels(
        a, product.weight, into: product.result, transposeWeight: true, m: m, columns: columns)
      guard case .fewRows = kernels, columns > 0 else { return nil }
      let other = product.weight.fewRowsForm(beside: a.dtype)
      if let form, form != other { return nil }
      form = other
    }
    return form
  }
}

extension PackedOperand {
  /// Whether the kernels for blocks take this weight.
  var isPackedByKernels: Bool {
    switch self {
    case .narrow(let w): w.dtype == .float32 || w.dtype == .bfloat16
    case .nf4, .compressed: true
    }
  }

  /// Whether a product of `m` rows in bfloat16 unpacks the weight whole. A compressed one always, since then its product is that of the matrix itself.
  func isUnpackedWhole(m: Int) -> Bool {
    guard BFloat16.isMultipliable else { return false }
    if case .compressed = self { return true }
    return m > CPUBackend.directRows
  }

  /// The type of its numbers where the other factor's is `dtype`.
  func dtype(beside dtype: DType) -> DType {
    switch self {
    case .narrow(let w): w.dtype
    case .nf4: dtype
    case .compressed: .bfloat16
    }
  }

  /// Whether there is a kernel for products of this weight with few rows.
  func isMultipliedInFewRows(columns: Int) -> Bool {
    switch self {
    // Half precision has no kernel of its own.
    case .narrow(let w): w.dtype != .float16
    case .nf4: CPUBackend.multipliesFewRows(ofNF4Columns: columns)
    case .compressed: true
    }
  }
}

/// y ← x in a wider type.
@inline(__always)
private func widen<T: BLASElement>(
  _ x: UnsafePointer<BFloat16>, _ count: Int, _ y: UnsafeMutablePointer<T>
) {
  var i = 0
  if T.self == Float.self {
    y.withMemoryRebound(to: Float.self, capacity: count) { y in
      while i + 8 <= count {
        Float.store(BFloat16.load(x + i), y + i)
        i += 8
      }
    }
  }
  while i < count {
    y[i] = T(x[i].float)
    i += 1
  }
}

/// Σ a·b.
@inline(__always)
private func dot<T: BLASElement>(_ a: UnsafePointer<T>, _ b: UnsafePointer<T>, _ count: Int) -> T {
  var (first, second) = (SIMD8<T>.zero, SIMD8<T>.zero)
  var c = 0
  while c + 16 <= count {
    first += T.lanes(a + c) * T.lanes(b + c)
    second += T.lanes(a + c + 8) * T.lanes(b + c + 8)
    c += 16
  }
  var total = (first + second).sum()
  while c < count {
    total += a[c] * b[c]
    c += 1
  }
  return total
}

extension KernelCompute {
  /// Eight elements as they are.
  @inline(__always)
  fileprivate static func lanes(_ pointer: UnsafePointer<Self>) -> SIMD8<Self> { load(pointer) }
}
