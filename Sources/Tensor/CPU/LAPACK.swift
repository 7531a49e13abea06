// The decompositions of LAPACK that initial values need, row-major, on host arrays.

import CLAPACKE

/// LAPACK through its C interface.
enum LAPACK {
  /// U·diag(σ)·Vᵀ of a row-major matrix (`sgesdd`, divide and conquer, as torch has it on the CPU).
  static func singularVectors(_ matrix: [Float], rows m: Int, columns n: Int)
    throws(DeviceError) -> (u: [Float], values: [Float], vt: [Float])
  {
    try requireFinite(matrix, "sgesdd")
    let k = min(m, n)
    var a = matrix
    var u = [Float](repeating: 0, count: m * k)
    var values = [Float](repeating: 0, count: k)
    var vt = [Float](repeating: 0, count: k * n)
    let status = LAPACKE_sgesdd(
      LAPACK_ROW_MAJOR, CChar(UInt8(ascii: "S")), Int32(m), Int32(n), &a, Int32(n),
      &values, &u, Int32(k), &vt, Int32(n))
    try check(status, "sgesdd")
    return (u, values, vt)
  }

  /// Q·R of a row-major matrix (`sgeqrf`, `sorgqr`), with k = min(m, n) columns of Q and rows of R.
  static func orthogonalTriangular(_ matrix: [Float], rows m: Int, columns n: Int)
    throws(DeviceError) -> (q: [Float], r: [Float])
  {
    try requireFinite(matrix, "sgeqrf")
    let k = min(m, n)
    var a = matrix
    var factors = [Float](repeating: 0, count: k)
    try check(
      LAPACKE_sgeqrf(
        LAPACK_ROW_MAJOR, Int32(m), Int32(n), &a, Int32(n), &factors), "sgeqrf")
    var r = [Float](repeating: 0, count: k * n)
    var q = [Float](repeating: 0, count: m * k)
    for i in 0..<k {
      for j in i..<n { r[i * n + j] = a[i * n + j] }
    }
    for i in 0..<m {
      for j in 0..<k { q[i * k + j] = a[i * n + j] }
    }
    try check(
      LAPACKE_sorgqr(
        LAPACK_ROW_MAJOR, Int32(m), Int32(k), Int32(k), &q, Int32(k), factors),
      "sorgqr")
    return (q, r)
  }

  private static func requireFinite(_ matrix: [Float], _ call: String) throws(DeviceError) {
    guard matrix.allSatisfy(\.isFinite) else {
      throw .failed(call: call, detail: "the matrix has elements that are not finite numbers")
    }
  }

  private static func check(_ status: Int32, _ call: String) throws(DeviceError) {
    if status > 0 { throw .failed(call: call, detail: "it did not converge") }
    if status < 0 { throw .failed(call: call, detail: "LAPACK returned \(status): out of memory?") }
  }
}
