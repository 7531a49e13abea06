// Decompositions: their factors are what they are called, and multiply to the matrix.

import Tensor
import Testing

@Suite("Factorizations")
struct FactorizationTests {
  static let shapes: [Shape] = [[1, 1], [1, 5], [5, 1], [3, 17], [17, 3], [33, 33]]

  private func matrix(_ shape: Shape) -> Tensor {
    Tensor.normal(shape, stream: RandomStream(seed: 2, purpose: .test, index: shape.count))
  }

  private func close(_ a: Tensor, _ b: Tensor) throws -> Bool {
    let scale = Double(max(a.shape[0], a.shape[1])).squareRoot()
    return try a.shape == b.shape
      && zip(a.doubles(), b.doubles()).allSatisfy { abs($0 - $1) < 4e-6 * scale }
  }

  private func identity(_ size: Int) -> Tensor {
    Tensor((0..<size * size).map { $0 / size == $0 % size ? Float(1) : 0 }, shape: [size, size])
  }

  @Test(
    "singular vectors are orthonormal, values fall, the product is the matrix", arguments: shapes)
  func singularVectors(_ shape: Shape) throws {
    let w = matrix(shape)
    let (u, values, vt) = try w.singularVectors()
    let k = min(shape[0], shape[1])
    #expect(u.shape == [shape[0], k] && values.shape == [k] && vt.shape == [k, shape[1]])
    #expect(try close(Tensor.matmul(u, transposeA: true, u), identity(k)))
    #expect(try close(Tensor.matmul(vt, vt, transposeB: true), identity(k)))
    #expect(try close(Tensor.matmul(u.multipliedByRow(values), vt), w))
    let sigma = try values.doubles()
    #expect(zip(sigma, sigma.dropFirst()).allSatisfy { $0 >= $1 } && (sigma.last ?? -1) >= 0)
  }

  @Test("Q is orthonormal, R is upper triangular, the product is the matrix", arguments: shapes)
  func orthogonalTriangular(_ shape: Shape) throws {
    let w = matrix(shape)
    let (q, r) = try w.orthogonalTriangular()
    let k = min(shape[0], shape[1])
    #expect(q.shape == [shape[0], k] && r.shape == [k, shape[1]])
    #expect(try close(Tensor.matmul(q, transposeA: true, q), identity(k)))
    #expect(try close(Tensor.matmul(q, r), w))
    let values = try r.doubles()
    for i in 0..<k {
      for j in 0..<min(i, shape[1]) { #expect(values[i * shape[1] + j] == 0) }
    }
  }

  @Test("the random subspace finds the largest singular vectors")
  func largest() throws {
    let w = matrix([33, 33])
    let exact = try w.singularVectors()
    let found = try w.largestSingularVectors(
      4, iterations: 40, stream: RandomStream(seed: 3, purpose: .test))
    #expect(found.u.shape == [33, 4] && found.vt.shape == [4, 33])
    for (a, b) in zip(try found.values.doubles(), try exact.values.doubles()) {
      #expect(abs(a - b) < 1e-3 * b)
    }
  }

  @Test("a matrix with elements that are not numbers, or none, is an error")
  func failures() {
    for value in [Double.nan, .infinity] {
      let w = Tensor.full([3, 2], value)
      #expect(throws: DeviceError.self) { _ = try w.singularVectors() }
    }
    let empty = Tensor.zeros([0, 2])
    #expect(throws: DeviceError.self) { _ = try empty.singularVectors() }
    #expect(throws: DeviceError.self) { _ = try empty.orthogonalTriangular() }
  }
}
