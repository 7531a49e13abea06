// A matrix product as kernels and cuBLASLt take it: types, sizes, and how far apart rows are.

import Tensor

/// c [m, n] ← α·op(a)·op(b) + β·c, row-major.
struct MatrixProduct: Hashable, Sendable {
  /// The type of a and b, and that of c.
  var dtype, resultDType: DType
  var m, n, k: Int
  var transposeA, transposeB: Bool
  /// Elements from one row to the next of a, b and c as they lie in memory.
  var strideA, strideB, strideC: Int

  /// The product of dense matrices.
  init(
    _ dtype: DType, into resultDType: DType, m: Int, n: Int, k: Int, transposeA: Bool,
    transposeB: Bool
  ) {
    self.dtype = dtype
    self.resultDType = resultDType
    self.m = m
    self.n = n
    self.k = k
    self.transposeA = transposeA
    self.transposeB = transposeB
    strideA = transposeA ? m : k
    strideB = transposeB ? k : n
    strideC = n
  }
}

/// A product as the kernels of matmul.cu take it.
struct ProductArgument: BitwiseCopyable {
  let m, n, k, transposeA, transposeB: Int32
  let strideA, strideB, strideC: Int64
  let alpha, beta: Double

  init(_ product: MatrixProduct, alpha: Double, beta: Double) {
    m = Int32(product.m)
    n = Int32(product.n)
    k = Int32(product.k)
    transposeA = product.transposeA ? 1 : 0
    transposeB = product.transposeB ? 1 : 0
    strideA = Int64(product.strideA)
    strideB = Int64(product.strideB)
    strideC = Int64(product.strideC)
    self.alpha = alpha
    self.beta = beta
  }
}
