// Matrix products of 2-D tensors; leading axes of the left operand are flattened into rows.

extension Tensor {
  /// op(a)·op(b), optionally scaled.  a [.., k] or [k, m], b [k, n] or [n, k] → [.., n]
  ///
  /// With `transposeA` false the leading axes of `a` are kept in the result, which is of the type of the factors, or
  /// of their accumulation type where `accumulating`.
  public static func matmul(
    _ a: Tensor, transposeA: Bool = false, _ b: Tensor, transposeB: Bool = false,
    alpha: Double = 1, accumulating: Bool = false
  ) -> Tensor {
    let shape = productShape(a, transposeA, b, transposeB)
    let y = Tensor(
      uninitialized: shape, accumulating ? a.dtype.accumulation : a.dtype,
      backend: commonBackend(a, b, "matmul"))
    launchMatmul(a, transposeA, b, transposeB, alpha: alpha, beta: 0, into: y)
    return y
  }

  /// self ← β·self + α·op(a)·op(b), in place when nobody else holds the storage.
  ///
  /// self is of the type of the factors or of its accumulation type.
  package mutating func accumulateMatmul(
    _ a: Tensor, transposeA: Bool = false, _ b: Tensor, transposeB: Bool = false,
    alpha: Double = 1, beta: Double = 1
  ) {
    let product = Tensor.productShape(a, transposeA, b, transposeB)
    precondition(
      product.count == count && (dtype == a.dtype || dtype == a.dtype.accumulation),
      "accumulateMatmul: product \(product) \(a.dtype.rawValue) into \(shape) \(dtype.rawValue)")
    makeUnique()
    Tensor.launchMatmul(a, transposeA, b, transposeB, alpha: alpha, beta: beta, into: self)
  }

  private static func productShape(_ a: Tensor, _ transposeA: Bool, _ b: Tensor, _ transposeB: Bool)
    -> Shape
  {
    precondition(
      b.shape.rank == 2 && (!transposeA || a.shape.rank == 2) && a.dtype == b.dtype,
      "matmul: cannot multiply \(a.shape) \(a.dtype.rawValue) and \(b.shape) \(b.dtype.rawValue)")
    let inner = transposeA ? a.shape[0] : a.columnCount
    precondition(
      inner == (transposeB ? b.shape[1] : b.shape[0]),
      "matmul: inner dimensions differ, got \(a.shape)\(transposeA ? "ᵀ" : "") · \(b.shape)\(transposeB ? "ᵀ" : "")"
    )
    let columns = transposeB ? b.shape[0] : b.shape[1]
    return transposeA ? [a.shape[1], columns] : a.shape.replacingLast(with: columns)
  }

  private static func launchMatmul(
    _ a: Tensor, _ transposeA: Bool, _ b: Tensor, _ transposeB: Bool, alpha: Double, beta: Double,
    into y: Tensor
  ) {
    let m = transposeA ? a.shape[1] : a.rowCount
    let k = transposeA ? a.shape[0] : a.columnCount
    let n = transposeB ? b.shape[0] : b.shape[1]
    launch(a, b, y) {
      y.backend.matmul(
        a.operand, transposeA: transposeA, b.operand, transposeB: transposeB, m: m, n: n, k: k,
        alpha: alpha, beta: beta, into: y.destination)
    }
  }
}
