// Matrix products. bfloat16 operands go to oneDNN where it has instructions for them; else they are widened tile by
// tile.

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
    if m == 1 && !transposeA && transposeB && a.dtype != .float64 {
      multiplyVector(a, b, rows: n, columns: k, alpha: alpha, beta: beta, into: c)
      return
    }
    switch (a.dtype, c.dtype) {
    case (.float32, .float32):
      multiply(Float.self, a, transposeA, b, transposeB, m, n, k, alpha, beta, c)
    case (.float64, .float64):
      multiply(Double.self, a, transposeA, b, transposeB, m, n, k, alpha, beta, c)
    case (.bfloat16, .bfloat16), (.bfloat16, .float32):
      if !multiplyBFloat16(a, transposeA, b, transposeB, m, n, k, alpha, beta, c) {
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

  /// c ← α·b·a + β·c for one row a (decoding): b is read once, at the speed of memory.
  private func multiplyVector(
    _ a: Operand, _ b: Operand, rows: Int, columns: Int, alpha: Double, beta: Double,
    into c: Destination
  ) {
    let x = Scratch(Float.self, count: columns, pool: pool)
    cast(a, into: x.destination)
    if alpha != 1 { scale(x.destination.operand, by: alpha, into: x.destination) }
    let y = Scratch(Float.self, count: rows, pool: pool)
    let pairs = Scratch(
      Float.self, count: b.dtype == .bfloat16 ? (columns + 31) / 32 * 32 : 0, pool: pool)
    if b.dtype == .bfloat16 { ck_split_pairs(x.pointer, pairs.pointer, columns) }
    let (vector, split, result) = (x.pointer, pairs.pointer, y.pointer)
    let grain = max(4, (1 << 18) / columns / 4 * 4)
    parallelFor(rows, grain: grain) { range in
      let (first, count) = (range.lowerBound, range.count)
      if b.dtype == .bfloat16 {
        ck_matvec_bf16(
          b.pointer(UInt16.self) + first * columns, split, result + first, count, columns)
      } else {
        ck_matvec_f32(
          b.pointer(Float.self) + first * columns, vector, result + first, count, columns)
      }
    }
    if beta == 0 {
      cast(y.destination.operand, into: c)
    } else {
      if beta != 1 { scale(c.operand, by: beta, into: c) }
      axpy(1, y.destination.operand, into: c)
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

  /// Widens `a` whole and `b` in blocks of columns of c; results are rounded once, at the end.
  private func multiplyWidened(
    _ a: Operand, _ transposeA: Bool, _ b: Operand, _ transposeB: Bool, _ m: Int, _ n: Int,
    _ k: Int, _ alpha: Double, _ beta: Double, _ c: Destination
  ) {
    let wideA = Scratch(Float.self, count: m * k, pool: pool)
    cast(a, into: wideA.destination)
    let wideC = Scratch(Float.self, count: m * n, pool: pool)
    if beta != 0 { cast(c.operand, into: wideC.destination) }
    let block = transposeB ? min(n, max(1, (1 << 20) / k)) : n
    let wideB = Scratch(Float.self, count: block * k, pool: pool)
    for start in stride(from: 0, to: n, by: block) {
      let width = min(block, n - start)
      cast(
        b.slice(transposeB ? start * k : 0, width * k), into: wideB.destination.slice(0, width * k))
      Float.gemm(
        transposeA, transposeB, m, width, k, Float(alpha), wideA.pointer, transposeA ? m : k,
        wideB.pointer, transposeB ? k : n, Float(beta), wideC.pointer + start, n)
    }
    cast(wideC.destination.operand, into: c)
  }
}

/// Temporary memory of a kernel, returned to the pool when it goes out of scope.
struct Scratch<Element: TensorScalar>: ~Copyable {
  private let buffer: Buffer
  private let pool: BufferPool
  let count: Int

  init(_ type: Element.Type, count: Int, pool: BufferPool) {
    buffer = pool.allocate(byteCount: count * MemoryLayout<Element>.stride)
    self.count = count
    self.pool = pool
  }

  var destination: Destination {
    Destination(address: buffer.address, dtype: Element.dtype, count: count)
  }
  var pointer: UnsafeMutablePointer<Element> { destination.pointer(Element.self) }

  deinit { pool.release(buffer) }
}
