// Products with few rows, and weights in 4 bits: the kernels in C against the dense product and plain Swift.

import Tensor
import TensorTestSupport
import Testing

@Suite("Products with few rows")
struct FewRowsTests {
  /// How a weight is kept.
  enum Kind: CaseIterable, Sendable {
    case float32, bfloat16, nf4, nestedNF4, smallBlocks, largeBlocks

    var format: QuantizedTensor.Format? {
      switch self {
      case .float32, .bfloat16: nil
      case .nf4: .init(blockSize: 64, isDoubleQuantized: false)
      case .nestedNF4: .init(blockSize: 64, isDoubleQuantized: true)
      case .smallBlocks: .init(blockSize: 32, isDoubleQuantized: true)
      case .largeBlocks: .init(blockSize: 4096, isDoubleQuantized: false)
      }
    }

    /// A weight in this form, and the same numbers in float32.
    func weight(_ shape: Shape) -> (packed: PackedWeight, dense: Tensor) {
      let numbers = Tensor.normal(shape, stream: RandomStream(seed: 3, purpose: .test, index: 1))
      if let format {
        let quantized = QuantizedTensor(quantizing: numbers, as: format)
        return (.nf4(quantized), quantized.dequantized())
      }
      let kept = self == .bfloat16 ? numbers.cast(to: .bfloat16) : numbers
      return (.narrow(kept), kept.cast(to: .float32))
    }
  }

  static let shapes: [Shape] = [
    [1, 64], [3, 128], [70, 192], [33, 1088], [5, 70], [130, 31], [2, 5],
  ]

  static func rows(_ m: Int, _ columns: Int) -> Tensor {
    .normal([m, columns], stream: RandomStream(seed: 3, purpose: .test, index: 2))
  }

  @Test("they are those of the dense product", arguments: Kind.allCases, shapes)
  func dense(_ kind: Kind, _ shape: Shape) throws {
    for m in 1...10 where kind != .float32 || m <= 8 {
      let (excess, sumExcess) = try Self.excess(kind, shape, m)
      #expect(excess < 1 && sumExcess < 1, "\(m) rows")
    }
  }

  /// The largest differences from the dense product, and of a sum with it, over what is allowed.
  static func excess(_ kind: Kind, _ shape: Shape, _ m: Int) throws -> (Double, Double) {
    let (packed, dense) = kind.weight(shape)
    let x = rows(m, shape[1])
    let y = try Tensor.matmul(x, packed: packed, transposeWeight: true).doubles()
    let expected = try Tensor.matmul(
      x.cast(to: .float64), dense.cast(to: .float64), transposeB: true
    ).doubles()
    var sum = Tensor.ones([m, shape[0]])
    sum.accumulateMatmul(x, packed: packed, transposeWeight: true)
    let sums = try sum.doubles()
    let allowed = 2e-6 * Double(shape[1]).squareRoot() * 3
    func largest(_ differences: [Double]) -> Double {
      differences.reduce(0) { $1.isNaN ? .infinity : max($0, $1.magnitude) }
    }
    return (
      largest(zip(y, expected).map { $0 - $1 }) / allowed,
      largest(zip(sums, y).map { $0 - $1 - 1 }) / 1e-5
    )
  }

  @Test(
    "in bfloat16 they are those of the dense product, rounded", arguments: Kind.allCases, shapes)
  func narrow(_ kind: Kind, _ shape: Shape) throws {
    guard kind != .float32 else { return }
    for m in [1, 2, 3, 8] { #expect(try Self.narrowExcess(kind, shape, m) < 1, "\(m) rows") }
  }

  /// As `excess`, for rows in bfloat16.
  static func narrowExcess(_ kind: Kind, _ shape: Shape, _ m: Int) throws -> Double {
    let (packed, dense) = kind.weight(shape)
    let x = rows(m, shape[1]).cast(to: .bfloat16)
    let y = Tensor.matmul(x, packed: packed, transposeWeight: true)
    precondition(y.dtype == .bfloat16)
    let expected = Tensor.matmul(
      x.cast(to: .float64), dense.cast(to: .float64), transposeB: true)
    // Half a unit of the result; numbers in 4 bits may be rounded too, where their kernels do not take so few columns.
    let rounding = kind == .bfloat16 || shape[1] % 64 == 0 ? 1e-5 : 0.006
    return try zip(y.doubles(), expected.doubles()).reduce(0) {
      let difference = ($1.0 - $1.1).magnitude
      let allowed = 0.00393 * $1.1.magnitude + rounding * Double(shape[1]).squareRoot()
      return difference.isNaN ? .infinity : max($0, difference / allowed)
    }
  }

  @Test(
    "a row does not depend on those beside it", arguments: Kind.allCases,
    [DType.float32, .bfloat16])
  func independence(_ kind: Kind, _ dtype: DType) throws {
    // A weight is never wider than what it is multiplied by.
    if kind == .float32 && dtype == .bfloat16 { return }
    let (packed, _) = kind.weight([70, 1088])
    let x = Self.rows(8, 1088).cast(to: dtype)
    let single = try (0..<8).map {
      try Tensor.matmul(x.rows($0..<$0 + 1), packed: packed, transposeWeight: true).doubles()
    }
    for m in 2...8 {
      let y = Tensor.matmul(x.rows(0..<m), packed: packed, transposeWeight: true)
      for row in 0..<m {
        #expect(try y.rows(row..<row + 1).doubles() == single[row])
      }
    }
  }

  @Test("numbers unpacked in C are to the bit those of plain Swift", arguments: Kind.allCases)
  func unpacking(_ kind: Kind) throws {
    guard let format = kind.format else { return }
    let weight = QuantizedTensor(quantizing: Self.rows(71, 131), as: format)
    for (first, count) in [(0, 71 * 131), (1, 500), (63, 129), (64, 64), (9000, 301), (77, 0)] {
      func numbers(_ dtype: DType) throws -> [Double] {
        let y = Tensor(uninitialized: [count], dtype, backend: weight.codes.backend)
        launch(weight, y) {
          y.backend.dequantizeNF4(weight.operand, from: first, into: y.destination)
        }
        return try y.doubles()
      }
      // Those of float64 are plain Swift's, float32 numbers too.
      let plain = try numbers(.float64)
      #expect(try numbers(.float32) == plain)
      #expect(try numbers(.bfloat16) == plain.map { Double(BFloat16(Float($0)).float) })
    }
  }
}
