// Low-rank parts that a GPU joins to their product as more terms of its sums.

import Tensor
import TensorCUDA
import TensorTestSupport
import Testing

@Suite("Low-rank parts joined to products", .serialized)
struct LowRankTests {
  /// A product with a low-rank part, a weight [rows, columns] in 4 bits or dense.
  private struct Product {
    let m, rows, columns, rank: Int
    let isQuantized, transposeWeight: Bool
    var scale = 0.75

    /// The result, of the same numbers on every device; in a float32 that holds them all on the CPU.
    func result(_ dtype: DType, on device: Device, computing: DType) throws -> [Double] {
      func tensor(_ shape: Shape, _ seed: UInt64) throws -> Tensor {
        let stream = RandomStream(seed: seed, purpose: .test)
        return try Tensor.normal(shape, stream: stream).cast(to: dtype).cast(to: computing)
          .moved(to: device)
      }
      let (n, k) = transposeWeight ? (rows, columns) : (columns, rows)
      let weight: PackedWeight
      if isQuantized {
        let numbers = Tensor.normal([rows, columns], stream: RandomStream(seed: 4, purpose: .test))
        let codes = QuantizedTensor(quantizing: try numbers.moved(to: device))
        weight =
          device.name == Device.cpu.name
          ? .narrow(codes.dequantized().cast(to: dtype).cast(to: computing)) : .nf4(codes)
      } else {
        weight = .narrow(try tensor([rows, columns], 4))
      }
      let term = try LowRankTerm(
        tensor([m, rank], 2), tensor(transposeWeight ? [n, rank] : [rank, n], 3), scale: scale)
      return try Tensor.matmul(
        tensor([m, k], 1), packed: weight, transposeWeight: transposeWeight, plus: term
      ).doubles()
    }
  }

  /// Widening products and such as narrow, of ranks that fill their rows' end and of others.
  private static let products: [Product] = [1, 8, 12, 24].flatMap { rank in
    [(true, true), (true, false), (false, true), (false, false)].map { isQuantized, transposes in
      Product(
        m: 37, rows: transposes ? 72 : 16, columns: transposes ? 16 : 72, rank: rank,
        isQuantized: isQuantized, transposeWeight: transposes)
    }
  }

  @Test(
    "joined products are those of the CPU, in every order of threads",
    arguments: [DType.bfloat16, .float32])
  func equality(_ dtype: DType) throws {
    for product in Self.products {
      let expected = try product.result(dtype, on: .cpu, computing: .float32)
      let largest = expected.map(abs).max() ?? 0
      for device in TestDevices.emulatedGPUs {
        let result = try product.result(dtype, on: device, computing: dtype)
        let worst = zip(result, expected).map { abs($0 - $1) }.max() ?? .infinity
        #expect(
          worst <= largest * (dtype == .float32 ? 1e-6 : 8e-3),
          "\(product) in \(dtype.rawValue) on \(device.name): \(worst) of \(largest)")
      }
    }
  }

  @Test("a part is joined where that saves enough, else it is a product of its own")
  func choice() throws {
    let product = Self.products[4]
    let results = try [1, Int.max].map { leastSaving in
      let backend = try TestDevices.emulatedGPU(0, leastSaving: leastSaving)
      let device = Device(backend: backend, preferredComputeDType: .bfloat16)
      return try product.result(.bfloat16, on: device, computing: .bfloat16)
    }
    // One rounding less: most elements agree, and some do not.
    let equal = zip(results[0], results[1]).count { $0 == $1 }
    #expect(equal > results[0].count / 2 && equal < results[0].count)
    #expect(CUDABackend.leastSaving > 1 << 20)
  }
}
