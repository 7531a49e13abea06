// Matrices of bfloat16 in 12 bits an element: every bit comes back, and every product is that of the matrix itself.

import CKernels
import Tensor
import TensorTestSupport
import Testing

@Suite("Compressed matrices")
struct CompressionTests {
  /// What a matrix consists of.
  enum Matrix: CaseIterable, Sendable {
    /// Numbers of a normal distribution.
    case normal
    /// The same with one in 150 replaced by any 16 bits: NaN, infinities, zeros, subnormal numbers.
    case hostile
    /// A row of large numbers, and small ones in others, also where groups and their parts begin and end.
    case outliers
    /// One number throughout.
    case zero, negativeZero, infinity

    /// The bits of [rows, columns].
    func bits(_ rows: Int, _ columns: Int) throws -> [UInt16] {
      let normal = Tensor.normal(
        [rows, columns], stream: RandomStream(seed: 8, purpose: .test, index: 1))
      var bits = try normal.array(of: Float.self).map { BFloat16($0 * 0.02).bitPattern }
      switch self {
      case .normal: break
      case .hostile:
        var random = RandomSequence(RandomStream(seed: 5, purpose: .test))
        for _ in 0..<bits.count / 150 {
          bits[Int(random.next() % UInt64(bits.count))] = UInt16(truncatingIfNeeded: random.next())
        }
      case .outliers:
        for column in 0..<columns { bits[column] = BFloat16(Float(column) * 300).bitPattern }
        for row in stride(from: 2, to: rows, by: 7) {
          let columns = [0, 63, 64, 95, 96, 127, 128, columns - 1].filter { $0 < columns }
          for column in columns {
            bits[row * (bits.count / rows) + column] =
              BFloat16(Float(row + column) * 1e-9).bitPattern
          }
        }
      case .zero: bits = bits.map { _ in 0 }
      case .negativeZero: bits = bits.map { _ in 0x8000 }
      case .infinity: bits = bits.map { _ in 0x7F80 }
      }
      return bits
    }

    /// The matrix itself.
    func tensor(_ rows: Int, _ columns: Int) throws -> Tensor {
      Tensor(try bits(rows, columns).map { BFloat16(bitPattern: $0) }, shape: [rows, columns])
    }
  }

  static let shapes = [(1, 128), (70, 256), (33, 1152), (200, 640), (3000, 256)]

  /// Whether this processor is one where anything is compressed.
  static let isSupported = String(cString: ck_instruction_set()) != "baseline"

  @Test(
    "every bit comes back, from any place on", .enabled(if: isSupported), arguments: Matrix.allCases
  )
  func roundTrip(_ matrix: Matrix) throws {
    for (rows, columns) in Self.shapes where matrix != .outliers || rows > 70 {
      let w = try matrix.tensor(rows, columns)
      let compressed = try #require(CompressedTensor(w), "[\(rows), \(columns)]")
      #expect(try Self.comesBack(matrix, rows, columns))
      #expect(compressed.byteCount < w.byteCount * 13 / 16 + 16 * rows)
      for (first, count) in [(0, 1), (1, columns), (63, 70), (columns - 5, 11), (rows - 1, 0)]
      where first + count <= rows * columns {
        for dtype in [DType.bfloat16, .float32, .float64] {
          let y = Tensor(uninitialized: [count], dtype, backend: w.backend)
          launch(compressed, y) {
            y.backend.unpack(.compressed(compressed.operand), from: first, into: y.destination)
          }
          let flat = w.reshaped([rows * columns]).rows(first..<first + count)
          // Conversion makes quiet NaN of others; as bfloat16 all bits are kept.
          let expected = try dtype == .bfloat16 ? flat.bytes() : flat.cast(to: dtype).bytes()
          if dtype == .bfloat16 || matrix != .hostile {
            #expect(try y.bytes() == expected, "\(dtype) from \(first)")
          } else {
            let (ours, theirs) = (try y.doubles(), try flat.doubles())
            #expect(zip(ours, theirs).allSatisfy { $0 == $1 || ($0.isNaN && $1.isNaN) })
          }
        }
      }
    }
  }

  /// Whether a matrix is compressed, and every bit of it comes back.
  static func comesBack(_ matrix: Matrix, _ rows: Int, _ columns: Int) throws -> Bool {
    let w = try matrix.tensor(rows, columns)
    guard let compressed = CompressedTensor(w) else { return false }
    return try compressed.decompressed().bytes() == w.bytes()
  }

  @Test("what would save little, or has no kernel, is not compressed")
  func refusals() throws {
    var random = RandomSequence(RandomStream(seed: 6, purpose: .test))
    let anything = (0..<128 * 64).map { _ in
      BFloat16(bitPattern: UInt16(truncatingIfNeeded: random.next()))
    }
    #expect(CompressedTensor(Tensor(anything, shape: [64, 128])) == nil)
    #expect(CompressedTensor(try Matrix.normal.tensor(4, 130)) == nil)
    #expect(CompressedTensor(try Matrix.normal.tensor(1, 32_896)) == nil)
    #expect((CompressedTensor(try Matrix.normal.tensor(1, 32_768)) != nil) == Self.isSupported)
    // A few exceptions are more than is saved of a matrix that small.
    let small = (0..<128).map { BFloat16(Float(1) * ($0 < 20 ? 1e-30 : 1)) }
    #expect(CompressedTensor(Tensor(small, shape: [1, 128])) == nil)
    #expect(CompressedTensor(try Matrix.normal.tensor(4, 128).cast(to: .float32)) == nil)
    #expect(CompressedTensor(Tensor.zeros([0, 128]).cast(to: .bfloat16)) == nil)
    #expect(CompressedTensor(try Matrix.normal.tensor(4, 128).reshaped([2, 2, 128])) == nil)
  }

  @Test(
    "products are to the bit those of the matrix itself", .enabled(if: isSupported),
    arguments: [DType.float32, .bfloat16])
  func products(_ dtype: DType) throws {
    let pairs = try Self.pairs()
    #expect(pairs.count == Self.pairCount)
    for pair in pairs { #expect(try Self.problem(pair, dtype) == nil) }
  }

  /// A matrix, and the same compressed.
  struct Pair: Sendable {
    let matrix: Tensor
    let compressed: CompressedTensor
  }

  /// How many there are where anything is compressed.
  static let pairCount = 10

  /// Matrices of finite numbers, some with numbers that have no code; none where nothing is compressed here.
  static func pairs() throws -> [Pair] {
    try [Matrix.normal, .outliers].flatMap { matrix in
      try (shapes + [(40, 4224)]).compactMap { rows, columns in
        let w = try matrix.tensor(rows, columns)
        return CompressedTensor(w).map { Pair(matrix: w, compressed: $0) }
      }
    }
  }

  /// What is wrong with a product of few rows, of many, or with a transpose, and with a low-rank part; nil where nothing is.
  static func problem(_ pair: Pair, _ dtype: DType) throws -> String? {
    let (rows, columns) = (pair.matrix.rowCount, pair.matrix.columnCount)
    for m in [1, 2, 3, 4, 5, 6, 7, 8, 9, 70] {
      for transposed in [true, false] {
        let (n, k) = transposed ? (rows, columns) : (columns, rows)
        let x = FewRowsTests.rows(m, k).cast(to: dtype)
        let h = FewRowsTests.rows(m, 5).cast(to: dtype)
        let b = FewRowsTests.rows(transposed ? n : 5, transposed ? 5 : n).cast(to: dtype)
        for part in [nil, LowRankTerm(h, b, scale: 0.5)] {
          let products = try [PackedWeight.compressed(pair.compressed), .narrow(pair.matrix)].map {
            w in
            var y = Tensor.matmul(x, packed: w, transposeWeight: transposed, plus: part)
            y.accumulateMatmul(x, packed: w, transposeWeight: transposed, plus: part)
            return try y.bytes()
          }
          if products[0] != products[1] {
            return "[\(rows), \(columns)], \(m) rows of \(dtype), transposed \(transposed)"
          }
        }
      }
    }
    return nil
  }
}
