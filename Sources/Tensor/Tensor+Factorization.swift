// Decompositions of a matrix, for initial values: computed on the host in float32 whatever the device, as they run once.

extension Tensor {
  /// The singular value decomposition U·diag(σ)·Vᵀ of a float32 matrix [m, n], σ falling; k = min(m, n).
  ///
  /// → U [m, k], σ [k], Vᵀ [k, n]. The signs of the vectors are LAPACK's.
  package func singularVectors() throws(DeviceError) -> (u: Tensor, values: Tensor, vt: Tensor) {
    let (m, n) = try factorizable("singularVectors")
    let k = min(m, n)
    let result = try LAPACK.singularVectors(try array(of: Float.self), rows: m, columns: n)
    return (
      try placed(result.u, [m, k]), try placed(result.values, [k]), try placed(result.vt, [k, n])
    )
  }

  /// The QR decomposition of a float32 matrix [m, n]; k = min(m, n).  → Q [m, k], R [k, n]
  package func orthogonalTriangular() throws(DeviceError) -> (q: Tensor, r: Tensor) {
    let (m, n) = try factorizable("orthogonalTriangular")
    let k = min(m, n)
    let result = try LAPACK.orthogonalTriangular(try array(of: Float.self), rows: m, columns: n)
    return (try placed(result.q, [m, k]), try placed(result.r, [k, n]))
  }

  /// The largest `count` singular values and vectors of a float32 matrix [m, n] from a random subspace (Halko et al. 2011,
  /// algorithms 4.4 and 5.1; torch `svd_lowrank`).  → U [m, count], σ [count], Vᵀ [count, n]
  package func largestSingularVectors(_ count: Int, iterations: Int, stream: RandomStream)
    throws(DeviceError) -> (u: Tensor, values: Tensor, vt: Tensor)
  {
    let (_, n) = try factorizable("largestSingularVectors")
    let start = Tensor.normal(
      [n, count], stream: stream, on: Device(backend: backend, preferredComputeDType: .float32))
    var q = try Tensor.matmul(self, start).orthogonalTriangular().q  // [m, count]
    for _ in 0..<iterations {
      let p = try Tensor.matmul(self, transposeA: true, q).orthogonalTriangular().q  // [n, count]
      q = try Tensor.matmul(self, p).orthogonalTriangular().q
    }
    let small = try Tensor.matmul(q, transposeA: true, self).singularVectors()
    return (Tensor.matmul(q, small.u), small.values, small.vt)
  }

  /// The first `count` columns of a matrix, copied.  [m, n] → [m, count]
  package func leadingColumns(_ count: Int) -> Tensor {
    columns(0..<count)
  }

  /// Columns `range` of a matrix, copied.  [m, n] → [m, range.count]
  package func columns(_ range: Range<Int>) -> Tensor {
    transposed().rows(range).transposed()
  }

  private func factorizable(_ call: String) throws(DeviceError) -> (rows: Int, columns: Int) {
    precondition(
      shape.rank == 2 && dtype == .float32,
      "\(call): \(shape) \(dtype.rawValue), expected a float32 matrix")
    guard shape[0] > 0, shape[1] > 0 else {
      throw .failed(call: call, detail: "the matrix \(shape) is empty")
    }
    return (shape[0], shape[1])
  }

  private func placed(_ values: [Float], _ shape: Shape) throws(DeviceError) -> Tensor {
    Tensor(
      values, shape: shape, on: Device(backend: backend, preferredComputeDType: .float32))
  }
}
