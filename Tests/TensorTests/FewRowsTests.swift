// Products with few rows, and weights in 4 bits: the kernels in C against the dense product and plain Swift.

import Tensor
import TensorTestSupport
import Testing

@Suite("Products with few rows")
struct FewRowsTests {
  /// How a weight is kept.
  enum Kind: CaseIterable, Sendable {
    case float32, bfloat16, compressed, nf4, nestedNF4, smallBlocks, largeBlocks

    var format: QuantizedTensor.Format? {
      switch self {
      case .float32, .bfloat16, .compressed: nil
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
      let kept = self == .float32 ? numbers : numbers.cast(to: .bfloat16)
      // Where there is no kernel for it, compressed numbers stay what they are.
      let compressed = self == .compressed ? CompressedTensor(kept) : nil
      return (compressed.map { .compressed($0) } ?? .narrow(kept), kept.cast(to: .float32))
    }

    /// Whether numbers are in bfloat16.
    var isBFloat16: Bool { self == .bfloat16 || self == .compressed }
  }

  static let shapes: [Shape] = [
    [1, 64], [3, 128], [70, 192], [33, 1088], [37, 1024], [5, 70], [130, 31], [2, 5],
    // Rows of which several tasks take some each, and of which several are too long for the nearest cache.
    [70, 2688], [9, 5248],
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
      // The sum is rounded once more: by half a unit in the last place.
      largest(zip(sums, y).map { ($0 - $1 - 1) / (1e-5 + 6e-8 * $0.magnitude) })
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
    let rounding = kind.isBFloat16 || shape[1] % 64 == 0 ? 1e-5 : 0.006
    return try zip(y.doubles(), expected.doubles()).reduce(0) {
      let difference = ($1.0 - $1.1).magnitude
      let allowed = 0.00393 * $1.1.magnitude + rounding * Double(shape[1]).squareRoot()
      return difference.isNaN ? .infinity : max($0, difference / allowed)
    }
  }

  static let ranks = [1, 8, 16, 20, 64]

  @Test("a low-rank part is added to them", arguments: Kind.allCases, [DType.float32, .bfloat16])
  func lowRank(_ kind: Kind, _ dtype: DType) throws {
    if kind == .float32 && dtype == .bfloat16 { return }
    for shape in Self.shapes {
      for rank in Self.ranks {
        #expect(try Self.lowRankExcess(kind, dtype, shape, rank) < 1, "\(shape), rank \(rank)")
      }
    }
  }

  /// The largest difference of products with a low-rank part, and of their sums with 1, from the dense products, over what is allowed.
  static func lowRankExcess(_ kind: Kind, _ dtype: DType, _ shape: Shape, _ rank: Int) throws
    -> Double
  {
    let (packed, dense) = kind.weight(shape)
    func factor(_ shape: Shape, _ index: Int) -> Tensor {
      Tensor.normal(shape, stream: RandomStream(seed: 3, purpose: .test, index: index))
        .cast(to: dtype)
    }
    let b = factor([shape[0], rank], 3)
    var excess = 0.0
    for m in [1, 3, 8] {
      let (x, h) = (rows(m, shape[1]).cast(to: dtype), factor([m, rank], 4))
      let term = LowRankTerm(h, b, scale: 1.5)
      var expected = Tensor.matmul(
        x.cast(to: .float64), dense.cast(to: .float64), transposeB: true)
      expected.accumulateMatmul(
        h.cast(to: .float64), b.cast(to: .float64), transposeB: true, alpha: 1.5)
      let y = Tensor.matmul(x, packed: packed, transposeWeight: true, plus: term)
      var sum = Tensor.ones([m, shape[0]]).cast(to: dtype)
      sum.accumulateMatmul(x, packed: packed, transposeWeight: true, plus: term)
      // As above; kernels for other columns round the part by itself.
      let rounding =
        dtype == .float32 ? 2e-5 : kind.isBFloat16 || shape[1] % 64 == 0 ? 4e-5 : 0.02
      let size = Double(shape[1] + rank).squareRoot()
      for (y, constant) in [(y, 0.0), (sum, 1.0)] {
        for (ours, theirs) in try zip(y.doubles(), expected.doubles()) {
          let wanted = theirs + constant
          let allowed =
            (dtype == .float32 ? 0 : 0.00393 * wanted.magnitude) + rounding * size
          let difference = (ours - wanted).magnitude
          excess = difference.isNaN ? .infinity : max(excess, difference / allowed)
        }
      }
    }
    return excess
  }

  @Test(
    "several in one go are to the bit what each is by itself",
    arguments: [DType.float32, .bfloat16])
  func together(_ dtype: DType) throws {
    let groups: [[Kind]] = [
      [.bfloat16, .bfloat16, .bfloat16], [.nf4, .nestedNF4], [.smallBlocks], [.bfloat16, .nf4],
      [.compressed, .bfloat16, .compressed],
      dtype == .float32 ? [.float32, .float32, .bfloat16] : [.nestedNF4, .bfloat16],
    ]
    for kinds in groups {
      for m in [1, 2, 8, 11] {
        let x = Self.rows(m, 1088).cast(to: dtype)
        let terms = kinds.enumerated().map { index, kind in
          let (out, rank) = ([70, 33, 1][index % 3], [8, 20][index % 2])
          let part = LowRankTerm(
            Self.rows(m, rank).cast(to: dtype), Self.rows(out, rank).cast(to: dtype), scale: 0.5)
          return (kind.weight([out, 1088]).packed, index == 1 ? nil : part)
        }
        let together = Tensor.matmul(x, packed: terms.map { PackedTerm($0.0, plus: $0.1) })
        for (y, term) in zip(together, terms) {
          let single = Tensor.matmul(x, packed: term.0, transposeWeight: true, plus: term.1)
          #expect(try y.bytes() == single.bytes(), "\(kinds), \(m) rows")
        }
      }
    }
  }

  @Test(
    "a row does not depend on those beside it", arguments: Kind.allCases,
    [DType.float32, .bfloat16])
  func independence(_ kind: Kind, _ dtype: DType) throws {
    // A weight is never wider than what it is multiplied by.
    if kind == .float32 && dtype == .bfloat16 { return }
    for shape: Shape in [[70, 1088], [70, 2688], [9, 5248]] {
      let (packed, _) = kind.weight(shape)
      let x = Self.rows(8, shape[1]).cast(to: dtype)
      let single = try (0..<8).map {
        try Tensor.matmul(x.rows($0..<$0 + 1), packed: packed, transposeWeight: true).doubles()
      }
      for m in 2...8 {
        let y = Tensor.matmul(x.rows(0..<m), packed: packed, transposeWeight: true)
        for row in 0..<m {
          #expect(try y.rows(row..<row + 1).doubles() == single[row], "\(shape), \(m) rows")
        }
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
          y.backend.unpack(.nf4(weight.operand), from: first, into: y.destination)
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
