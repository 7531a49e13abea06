// Matrix products: by cuBLASLt where it is there, else, and for shapes that it has no algorithm for, by kernels of our own.

package import Tensor

extension CUDABackend: MatMulKernels {
  package func matmul(
    _ a: Operand, transposeA: Bool, _ b: Operand, transposeB: Bool, m: Int, n: Int, k: Int,
    alpha: Double, beta: Double, into c: Destination
  ) {
    precondition(
      a.dtype == b.dtype && a.dtype.isFloatingPoint
        && (c.dtype == a.dtype || c.dtype == a.dtype.accumulation),
      "matmul: no kernel for \(a.dtype.rawValue) into \(c.dtype.rawValue)")
    multiply(
      MatrixProduct(
        a.dtype, into: c.dtype, m: m, n: n, k: k, transposeA: transposeA, transposeB: transposeB),
      a, b, into: c, alpha: alpha, beta: beta)
  }

  /// Queues a product of matrices whose rows may be further apart than they are long.
  func multiply(
    _ product: MatrixProduct, _ a: Operand, _ b: Operand, into c: Destination, alpha: Double = 1,
    beta: Double
  ) {
    guard product.m > 0, product.n > 0, !context.hasFailed else { return }
    if product.k == 0 {
      precondition(product.strideC == product.n, "matmul: an empty sum into a window")
      // With β = 0 the contents of c are arbitrary and must not be multiplied: 0·NaN is NaN.
      if beta == 0 { fill(c, with: 0) } else { scale(c.operand, by: beta, into: c) }
      return
    }
    if let products, products.multiply(product, a, b, into: c, alpha: alpha, beta: beta) { return }
    precondition(
      product.m <= 32 * 65_535, "matmul: \(product.m) rows, at most \(32 * 65_535) without cuBLASLt"
    )
    let argument = ProductArgument(product, alpha: alpha, beta: beta)
    if usesTensorCores(product, a, b) {
      launch(
        Kernel("matmul", "matmul_nt", c.dtype),
        grid: (x: (product.n + 63) / 64, y: (product.m + 63) / 64), block: (128, 1), a.pointer,
        b.pointer, c.pointer, argument)
    } else {
      launch(
        Kernel("matmul", "matmul", a.dtype, c.dtype),
        grid: (x: (product.n + 31) / 32, y: (product.m + 31) / 32), a.pointer, b.pointer,
        c.pointer, argument)
    }
  }

  /// What the kernel on tensor cores takes: a·bᵀ in bfloat16 with rows that begin at multiples of 16 bytes.
  private func usesTensorCores(_ product: MatrixProduct, _ a: Operand, _ b: Operand) -> Bool {
    product.dtype == .bfloat16 && !product.transposeA && product.transposeB && product.k % 8 == 0
      && product.strideA % 8 == 0 && product.strideB % 8 == 0 && (a.address | b.address) % 16 == 0
  }
}
