// Matrix products. bfloat16 operands go to our own kernels or to oneDNN where it has instructions for them; else they are widened tile by
// tile. Products with few rows are in CPU+FewRows.swift.

import CKernels

extension CPUBackend: MatMulKernels {
  package func matmul(
    _ a: Operand, transposeA: Bool, _ b: Operand, transposeB: Bool, m: Int, n: Int, k: Int,
    alpha: Double, beta: Double, into c: Destination
  ) {
    guard m > 0, n > 0 else { return }
    if k == 0 {
      // An empty sum. With β = 0 the contents of c are arbitrary and must not be multiplied: 0·NaN is NaN.
      if beta == 0 { fill(c, with: 0) } else { scale(c.operand, by: beta, into: c) }
      return
    }
    if m <= CPUBackend.fewRows, !transposeA, transposeB, a.dtype != .float64 {
      multiplyFewRows(
        a, .narrow(b), m: m, rows: n, columns: k, alpha: alpha, beta: beta, into: c)
      return
    }
    switch (a.dtype, c.dtype) {
    case (.float32, .float32):
      multiply(Float.self, a, transposeA, b, transposeB, m, n, k, alpha, beta, c)
    case (.float64, .float64):
      multiply(Double.self, a, transposeA, b, transposeB, m, n, k, alpha, beta, c)
    case (.bfloat16, .bfloat16), (.bfloat16, .float32):
      if BlockedProduct.isFastest(for: .bfloat16) {
        BlockedProduct(
          m: m, n: n, k: k, result: c.dtype, panels: BlockedProduct.panels(.bfloat16, .bfloat16)
        ).run(
          ck_factor(
            a.pointer(UInt16.self), .bfloat16, stride: transposeA ? m : k, isTransposed: transposeA),
          ck_factor(
            b.pointer(UInt16.self), .bfloat16, stride: transposeB ? k : n, isTransposed: transposeB),
          alpha: Float(alpha), beta: Float(beta), into: c, stride: n, pool: pool)
      } else if !multiplyBFloat16(a, transposeA, b, transposeB, m, n, k, alpha, beta, c) {
        multiplyWidened(a, transposeA, b, transposeB, m, n, k, alpha, beta, c)
      }
    default:
      preconditionFailure("matmul: no kernel for \(a.dtype.rawValue) into \(c.dtype.rawValue)")
    }
  }

  @inline(__always)
  private func multiply<T: BLASElement>(
    _ type: T.Type, _ a: Operand, _ transposeA: Bool, _ b: Operand, _ transposeB: Bool, _ m: Int,
    _ n: Int, _ k: Int, _ alpha: Double, _ beta: Double, _ c: Destination
  ) {
    let (pa, pb, pc) = (a.pointer(T.self), b.pointer(T.self), c.pointer(T.self))
    let (lda, ldb) = (transposeA ? m : k, transposeB ? k : n)
    if m == 1 && !transposeA {
      // One row (decoding): a matrix–vector product reads b once.
      T.gemv(!transposeB, transposeB ? n : k, ldb, T(alpha), pb, ldb, pa, T(beta), pc)
    } else {
      T.gemm(
        transposeA, transposeB, m, n, k, T(alpha), pa, lda, pb, ldb, T(beta), pc, n)
    }
  }

  /// The product with oneDNN's own kernel; false where it has none.
  private func multiplyBFloat16(
    _ a: Operand, _ transposeA: Bool, _ b: Operand, _ transposeB: Bool, _ m: Int, _ n: Int,
    _ k: Int, _ alpha: Double, _ beta: Double, _ c: Destination
  ) -> Bool {
    #if OneDNN
      guard OneDNN.multipliesBFloat16 else { return false }
      return OneDNN.multiplyPrepared(
        OneDNN.Factor(
          address: a.pointer(BFloat16.self), leadingDimension: transposeA ? m : k,
          isTransposed: transposeA, dtype: .bfloat16),
        OneDNN.Factor(
          address: b.pointer(BFloat16.self), leadingDimension: transposeB ? k : n,
          isTransposed: transposeB, dtype: .bfloat16),
        m: m, n: n, k: k, alpha: Float(alpha), beta: Float(beta), into: c.pointer(UInt8.self),
        c.dtype, ThreadTeam.usableThreadCount, pool)
    #else
      return false
    #endif
  }

  /// The product in float32, rounded once at the end. Pieces of b that stay in cache are widened and multiplied one after
  /// another: blocks of its rows, which are columns of c where b is read as its transpose and terms of the sums where it
  /// is not. Many rows of c are taken a part at a time.
  private func multiplyWidened(
    _ a: Operand, _ transposeA: Bool, _ b: Operand, _ transposeB: Bool, _ m: Int, _ n: Int,
    _ k: Int, _ alpha: Double, _ beta: Double, _ c: Destination
  ) {
    let (alpha, beta) = (Float(alpha), Float(beta))
    let pieces = WidenedPieces(
      transposeA: transposeA, transposeB: transposeB, m: m, n: n, k: k)
    let (columns, blockRows, part) = (pieces.columns, pieces.blockRows, pieces.part)
    let piece = Scratch(Float.self, count: blockRows * columns, pool: pool)
    func widenPiece(_ first: Int, _ count: Int) {
      cast(
        b.slice(first * columns, count * columns), into: piece.destination.slice(0, count * columns)
      )
    }
    if transposeB {
      let wideA = Scratch(Float.self, count: part * k, pool: pool)
      let wideC = Scratch(Float.self, count: part * blockRows, pool: pool)
      for top in stride(from: 0, to: m, by: part) {
        let height = min(part, m - top)
        cast(a.slice(top * k, height * k), into: wideA.destination.slice(0, height * k))
        for start in stride(from: 0, to: n, by: blockRows) {
          let width = min(blockRows, n - start)
          widenPiece(start, width)
          let target = c.block(row: top, column: start, stride: n)
          if beta != 0 { copyRows(target.operand, height, width, n, into: wideC.pointer) }
          Float.gemm(
            transposeA, true, height, width, k, alpha, wideA.pointer, transposeA ? m : k,
            piece.pointer, k, beta, wideC.pointer, width)
          copyRows(wideC.pointer, height, width, into: target, n)
        }
      }
      return
    }
    let wideA = Scratch(Float.self, count: part * blockRows, pool: pool)
    let wideC = Scratch(Float.self, count: c.dtype == .float32 ? 0 : part * n, pool: pool)
    for top in stride(from: 0, to: m, by: part) {
      let height = min(part, m - top)
      let target = c.slice(top * n, height * n)
      let sums = c.dtype == .float32 ? target : wideC.destination.slice(0, height * n)
      if beta != 0, c.dtype != .float32 { cast(target.operand, into: sums) }
      for start in stride(from: 0, to: k, by: blockRows) {
        let count = min(blockRows, k - start)
        widenPiece(start, count)
        if transposeA {
          cast(a.slice(start * m, count * m), into: wideA.destination.slice(0, count * m))
        } else {
          copyRows(
            a.block(row: top, column: start, stride: k), height, count, k, into: wideA.pointer)
        }
        Float.gemm(
          transposeA, false, height, n, count, alpha, wideA.pointer, transposeA ? m : count,
          piece.pointer, n, start == 0 ? beta : 1, sums.pointer(Float.self), n)
      }
      if c.dtype != .float32 { cast(sums.operand, into: target) }
    }
  }

  /// What of the factors of a product op(a)·op(b) is widened at a time.
  struct WidenedPieces {
    /// Elements of a row of b as it is stored.
    let columns: Int
    /// Rows of b.
    let blockRows: Int
    /// Rows of op(a).
    let part: Int

    /// The pieces for extents of at least 1.
    init(transposeA: Bool, transposeB: Bool, m: Int, n: Int, k: Int) {
      columns = transposeB ? k : n
      blockRows = min(transposeB ? n : k, max(16, (1 << 20) / columns))
      part = transposeA ? m : min(m, max(512, (1 << 21) / columns))
    }
  }

  /// Dense y ← rows of x that are `stride` apart; x is float32 or bfloat16.
  private func copyRows(
    _ x: Operand, _ rows: Int, _ columns: Int, _ stride: Int, into y: UnsafeMutablePointer<Float>
  ) {
    parallelFor(rows, grain: CPUBackend.rowGrain(columns: columns)) { range in
      for row in range {
        if x.dtype == .float32 {
          (y + row * columns).update(from: x.pointer(Float.self) + row * stride, count: columns)
        } else {
          ck_widen(x.pointer(UInt16.self) + row * stride, y + row * columns, columns)
        }
      }
    }
  }

  /// Rows of y that are `stride` apart ← dense x; y is float32 or bfloat16.
  private func copyRows(
    _ x: UnsafePointer<Float>, _ rows: Int, _ columns: Int, into y: Destination, _ stride: Int
  ) {
    parallelFor(rows, grain: CPUBackend.rowGrain(columns: columns)) { range in
      for row in range {
        if y.dtype == .float32 {
          (y.pointer(Float.self) + row * stride).update(from: x + row * columns, count: columns)
        } else {
          ck_narrow(x + row * columns, y.pointer(UInt16.self) + row * stride, columns)
        }
      }
    }
  }
}

extension Operand {
  /// What lies from element (row, column) on, in rows that are `stride` elements apart.
  fileprivate func block(row: Int, column: Int, stride: Int) -> Operand {
    slice(row * stride + column, count - row * stride - column)
  }
}

extension Destination {
  /// What lies from element (row, column) on, in rows that are `stride` elements apart.
  fileprivate func block(row: Int, column: Int, stride: Int) -> Destination {
    slice(row * stride + column, count - row * stride - column)
  }
}

/// Temporary memory of a kernel, returned to the pool when it goes out of scope. For no elements the pool is not asked: tasks that run
/// at the same time would each take its smallest buffer, and how many there are would depend on how threads happen to run.
struct Scratch<Element: TensorScalar>: ~Copyable {
  private let buffer: Buffer?
  private let pool: BufferPool
  let count: Int

  init(_ type: Element.Type, count: Int, pool: BufferPool) {
    buffer =
      count > 0 ? pool.allocate(byteCount: count * MemoryLayout<Element>.stride) : nil
    self.count = count
    self.pool = pool
  }

  var destination: Destination {
    // An address that is aligned and never read stands for no memory.
    Destination(address: buffer?.address ?? 64, dtype: Element.dtype, count: count)
  }
  var pointer: UnsafeMutablePointer<Element> { destination.pointer(Element.self) }

  deinit { if let buffer { pool.release(buffer) } }
}
