// How attention multiplies tiles: by type, with strides, on the calling thread, into dense sums of the compute type.

import CKernels

/// An element type in which attention keeps q, k, v and the probabilities.
protocol AttentionElement: KernelElement, TensorScalar where Compute: BLASElement {
  /// c ← α·op(a)·op(b) + β·c on the calling thread; c [m, n] is dense, a and b are row-major with leading dimensions. What the
  /// band leaves out may be computed all the same.
  static func multiply(
    _ a: UnsafePointer<Self>, _ lda: Int, _ transposeA: Bool, _ b: UnsafePointer<Self>, _ ldb: Int,
    _ transposeB: Bool, _ m: Int, _ n: Int, _ k: Int, alpha: Compute, beta: Compute,
    band: ProductBand, into c: UnsafeMutablePointer<Compute>)
  /// y ← x.
  static func convert(
    _ x: UnsafePointer<Compute>, into y: UnsafeMutablePointer<Self>, count: Int)
}

extension AttentionElement where Self: BLASElement, Compute == Self {
  @inline(__always)
  static func multiply(
    _ a: UnsafePointer<Self>, _ lda: Int, _ transposeA: Bool, _ b: UnsafePointer<Self>, _ ldb: Int,
    _ transposeB: Bool, _ m: Int, _ n: Int, _ k: Int, alpha: Self, beta: Self, band: ProductBand,
    into c: UnsafeMutablePointer<Self>
  ) {
    gemm(transposeA, transposeB, m, n, k, alpha, a, lda, b, ldb, beta, c, n)
  }

  @inline(__always)
  static func convert(_ x: UnsafePointer<Self>, into y: UnsafeMutablePointer<Self>, count: Int) {
    y.update(from: x, count: count)
  }
}

/// c ← α·op(a)·op(b) + β·c within a band, by our own kernels, for factors of the type.
private func multiplyInBlocks(
  _ dtype: DType, _ a: UnsafeRawPointer, _ lda: Int, _ transposeA: Bool, _ b: UnsafeRawPointer,
  _ ldb: Int, _ transposeB: Bool, _ m: Int, _ n: Int, _ k: Int, _ alpha: Float, _ beta: Float,
  _ band: ProductBand, _ c: UnsafeMutablePointer<Float>
) {
  BlockedProduct(
    m: m, n: n, k: k, result: .float32, panels: BlockedProduct.panels(dtype, dtype)
  ).run(
    ck_factor(a, dtype, stride: lda, isTransposed: transposeA),
    ck_factor(b, dtype, stride: ldb, isTransposed: transposeB), alpha: alpha, beta: beta,
    band: band, into: Destination(address: UInt(bitPattern: c), dtype: .float32, count: m * n),
    stride: n, pool: CPUBackend.shared.pool)
}

extension Float: AttentionElement {
  @inline(__always)
  static func multiply(
    _ a: UnsafePointer<Float>, _ lda: Int, _ transposeA: Bool, _ b: UnsafePointer<Float>,
    _ ldb: Int, _ transposeB: Bool, _ m: Int, _ n: Int, _ k: Int, alpha: Float, beta: Float,
    band: ProductBand, into c: UnsafeMutablePointer<Float>
  ) {
    guard BlockedProduct.isFastest(for: .float32) else {
      gemm(transposeA, transposeB, m, n, k, alpha, a, lda, b, ldb, beta, c, n)
      return
    }
    multiplyInBlocks(
      .float32, a, lda, transposeA, b, ldb, transposeB, m, n, k, alpha, beta, band, c)
  }
}
extension Double: AttentionElement {}

extension BFloat16: AttentionElement {
  /// Whether tiles of bfloat16 can be multiplied as they are; else attention widens everything first.
  static var isMultipliable: Bool {
    #if OneDNN
      OneDNN.multipliesBFloat16 || ck_gemm_is_fastest(ck_panels_bf16) != 0
    #else
      false
    #endif
  }

  @inline(__always)
  static func multiply(
    _ a: UnsafePointer<BFloat16>, _ lda: Int, _ transposeA: Bool, _ b: UnsafePointer<BFloat16>,
    _ ldb: Int, _ transposeB: Bool, _ m: Int, _ n: Int, _ k: Int, alpha: Float, beta: Float,
    band: ProductBand, into c: UnsafeMutablePointer<Float>
  ) {
    if BlockedProduct.isFastest(for: .bfloat16) {
      multiplyInBlocks(
        .bfloat16, a, lda, transposeA, b, ldb, transposeB, m, n, k, alpha, beta, band, c)
      return
    }
    #if OneDNN
      let isDone = OneDNN.multiplyPrepared(
        OneDNN.Factor(
          address: a, leadingDimension: lda, isTransposed: transposeA, dtype: .bfloat16),
        OneDNN.Factor(
          address: b, leadingDimension: ldb, isTransposed: transposeB, dtype: .bfloat16),
        m: m, n: n, k: k, alpha: alpha, beta: beta, into: c, .float32, 1, CPUBackend.shared.pool)
      if isDone { return }
    #endif
    // Sizes for which the library has no kernel of its own, such as a single row.
    let (rowsA, rowsB) = (transposeA ? k : m, transposeB ? n : k)
    let (columnsA, columnsB) = (transposeA ? m : k, transposeB ? k : n)
    let wideA = Scratch(Float.self, count: rowsA * columnsA, pool: CPUBackend.shared.pool)
    let wideB = Scratch(Float.self, count: rowsB * columnsB, pool: CPUBackend.shared.pool)
    for row in 0..<rowsA {
      widen(a + row * lda, into: wideA.pointer + row * columnsA, count: columnsA)
    }
    for row in 0..<rowsB {
      widen(b + row * ldb, into: wideB.pointer + row * columnsB, count: columnsB)
    }
    Float.gemm(
      transposeA, transposeB, m, n, k, alpha, wideA.pointer, columnsA, wideB.pointer, columnsB,
      beta, c, n)
  }

  private static func widen(
    _ x: UnsafePointer<BFloat16>, into y: UnsafeMutablePointer<Float>, count: Int
  ) {
    ck_widen(UnsafeRawPointer(x).assumingMemoryBound(to: UInt16.self), y, count)
  }

  @inline(__always)
  static func convert(
    _ x: UnsafePointer<Float>, into y: UnsafeMutablePointer<BFloat16>, count: Int
  ) {
    ck_narrow(x, UnsafeMutableRawPointer(y).assumingMemoryBound(to: UInt16.self), count)
  }
}
