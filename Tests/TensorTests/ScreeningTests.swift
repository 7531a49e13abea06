// Screens of a matrix: no row is missed whose product can be among the largest.

import CKernels
import Tensor
import TensorTestSupport
import Testing

@Suite("Screens of a matrix")
struct ScreeningTests {
  /// A matrix, and what is special about it.
  enum Matrix: CaseIterable, Sendable {
    case normal, negative, outliers, twins, tiny, halfEmpty

    /// Numbers [rows, columns], row-major.
    func numbers(_ rows: Int, _ columns: Int) throws -> [Float] {
      var numbers = try Tensor.normal(
        [rows, columns], stream: RandomStream(seed: 5, purpose: .test, index: 1)
      ).array(of: Float.self)
      switch self {
      case .normal: break
      case .negative: for i in numbers.indices { numbers[i] = -numbers[i].magnitude }
      case .outliers:
        // In 8 bits nothing else is left of every third row.
        for row in stride(from: 0, to: rows, by: 3) {
          numbers[row * columns + row % columns] = 3000
        }
      case .twins:
        // Every row comes again, far behind.
        for i in rows / 2 * columns..<numbers.count { numbers[i] = numbers[i - rows / 2 * columns] }
      case .tiny: for i in numbers.indices { numbers[i] *= i % 3 == 0 ? 1e-38 : 1e-33 }
      case .halfEmpty:
        for row in stride(from: 0, to: rows, by: 2) {
          for c in 0..<columns { numbers[row * columns + c] = 0 }
        }
      }
      return numbers
    }
  }

  static func rows(_ m: Int, _ columns: Int) -> Tensor {
    .normal([m, columns], stream: RandomStream(seed: 5, purpose: .test, index: 2))
  }

  /// What is wrong with the candidates for `m` rows in `dtype`, and how many there are at most; nil where there is no answer.
  static func problem(
    _ screen: any RowScreen, of w: Tensor, _ dtype: DType, m: Int, count: Int
  ) throws -> (problem: String?, largestCount: Int)? {
    let x = rows(m, w.columnCount).cast(to: dtype)
    let products = try Tensor.matmul(x, packed: .narrow(w), transposeWeight: true).doubles()
    guard let candidates = screen.candidates(for: x, count: count) else { return nil }
    guard candidates.count == m else { return ("\(candidates.count) rows", 0) }
    for (row, ids) in candidates.enumerated() {
      let products = products[row * w.rowCount..<(row + 1) * w.rowCount]
      let least = products.sorted(by: >)[count - 1]
      let wanted = products.enumerated().filter { $0.element >= least }.map { Int32($0.offset) }
      guard ids == ids.sorted(), Set(ids).count == ids.count else { return ("no order", 0) }
      let missing = Set(wanted).subtracting(ids)
      guard missing.isEmpty else { return ("row \(row) lacks \(missing.sorted().prefix(9))", 0) }
    }
    return (nil, candidates.map(\.count).max() ?? 0)
  }

  @Test(
    "they find the largest products and all that equal the least of them",
    arguments: Matrix.allCases)
  func candidates(_ matrix: Matrix) throws {
    // A length that is a multiple of everything once.
    let size: Shape = matrix == .normal ? [9000, 1024] : [65_537, 129]
    let numbers = Tensor(try matrix.numbers(size[0], size[1]), shape: size, on: .cpu)
    for dtype in [DType.float32, .bfloat16] {
      let w = numbers.cast(to: dtype)
      let screen = try #require(w.rowScreen())
      for (m, count) in [(1, 1), (2, 20), (3, 1), (4, 9)] {
        for xType in Set([dtype, .float32]) {
          guard let found = try Self.problem(screen, of: w, xType, m: m, count: count) else {
            // Outliers leave nothing to tell a third of the rows by, tiny numbers nothing at all.
            #expect(matrix == .outliers || matrix == .tiny, "\(dtype), \(m) rows, \(count)")
            continue
          }
          #expect(found.problem == nil, "\(dtype), \(m) rows, \(count)")
        }
      }
    }
  }

  /// Sizes of numbers, down to those whose squares vanish.
  static let magnitudes: [Float] = [1, 1e-10, 1e-18, 1e-21, 1e-25, 1e-29, 1e-33]

  @Test("no product is beyond its bounds, however small numbers are", arguments: magnitudes)
  func bounds(_ magnitude: Float) throws {
    for x in Self.magnitudes {
      for columns in [1, 17, 129, 200] {
        let found = try Self.largestExcess(columns: columns, w: magnitude, x: x)
        #expect(found <= 0, "\(columns) columns, x of \(x)")
      }
    }
  }

  /// By how much products of rows of size `w` and of x are beyond what they are said to be at most, or the largest is below what it is said to be
  /// at least.
  static func largestExcess(columns: Int, w: Float, x: Float) throws -> Double {
    let (rows, m) = (33, 3)
    let numbers = try Matrix.normal.numbers(rows, columns).map { $0 * w }
    let others = try Self.rows(m, columns).array(of: Float.self).map { $0 * x }
    var codes = [Int8](repeating: 0, count: rows * columns)
    var (scales, errors) = (
      numbers[..<rows].map { _ in Float(0) }, numbers[..<rows].map { _ in Float(0) }
    )
    var upper = [Float](repeating: 0, count: m * rows)
    var (lower, largest) = ([Float](repeating: 0, count: m), [Float](repeating: 0, count: m))
    let lengths: [Float] = (0..<m).map { q in
      var squares: Float = 0
      for c in 0..<columns { squares += others[q * columns + c] * others[q * columns + c] }
      return squares.squareRoot() * 1.001 + CK_COARSE_LEAST * Float(columns).squareRoot()
    }
    codes.withUnsafeMutableBufferPointer { codes in
      scales.withUnsafeMutableBufferPointer { scales in
        errors.withUnsafeMutableBufferPointer { errors in
          var coarse = ck_coarse(
            codes: codes.baseAddress, scales: scales.baseAddress, errors: errors.baseAddress)
          _ = ck_coarse_rows_f32(numbers, &coarse, 0, rows, columns)
          ck_coarse_bounds(
            &coarse, 0, others, columns, lengths, m, &upper, rows, &lower, &largest, rows, columns)
        }
      }
    }
    var excess = -Double.infinity
    for q in 0..<m {
      let products: [Double] = (0..<rows).map { row in
        var product = 0.0
        for c in 0..<columns {
          product += Double(numbers[row * columns + c]) * Double(others[q * columns + c])
        }
        return product
      }
      for (row, product) in products.enumerated() {
        excess = max(excess, product - Double(upper[q * rows + row]))
      }
      excess = max(excess, Double(lower[q]) - (products.max() ?? 0))
      excess = max(excess, (products.max() ?? 0) - Double(largest[q]))
    }
    return excess
  }

  @Test("of a matrix of normal numbers they leave few rows")
  func fewRows() throws {
    let w = Tensor.normal([65_537, 129], stream: RandomStream(seed: 5, purpose: .test, index: 3))
    for dtype in [DType.float32, .bfloat16] {
      let w = w.cast(to: dtype)
      let screen = try #require(w.rowScreen())
      let one = try #require(try Self.problem(screen, of: w, dtype, m: 1, count: 1))
      #expect(one.problem == nil && one.largestCount <= 100)
      let twenty = try #require(try Self.problem(screen, of: w, dtype, m: 4, count: 20))
      #expect(twenty.problem == nil && twenty.largestCount <= 400)
    }
  }

  @Test("nothing is said where numbers are not finite, matrices small, or all products alike")
  func noAnswer() throws {
    let (rows, columns) = (65_537, 129)
    let w = Tensor.normal(
      [rows, columns], stream: RandomStream(seed: 5, purpose: .test, index: 1))
    #expect(w.rows(0..<100).rowScreen() == nil)
    #expect(w.cast(to: .float64).rowScreen() == nil)
    for bad in [Float.nan, .infinity, -.infinity] {
      // In the first row of all, within, and in the last one.
      for place in [0, rows / 2 * columns + 3, rows * columns - 5] {
        var numbers = try w.array(of: Float.self)
        numbers[place] = bad
        let damaged = Tensor(numbers, shape: w.shape, on: .cpu)
        #expect(damaged.rowScreen() == nil && damaged.cast(to: .bfloat16).rowScreen() == nil)
      }
      var x = [Float](repeating: 1, count: columns)
      x[7] = bad
      let screen = try #require(w.rowScreen())
      #expect(screen.candidates(for: Tensor(x, shape: [1, columns], on: .cpu), count: 1) == nil)
    }
    let screen = try #require(w.rowScreen())
    let zero = Tensor([Float](repeating: 0, count: columns), shape: [1, columns], on: .cpu)
    #expect(screen.candidates(for: zero, count: 1) == nil)
    let huge = Tensor([Float](repeating: 3e38, count: columns), shape: [1, columns], on: .cpu)
    #expect(screen.candidates(for: huge, count: 1) == nil)
    for size in [Float(1e-25), 1e-30, .leastNonzeroMagnitude] {
      let x = Tensor([Float](repeating: size, count: columns), shape: [1, columns], on: .cpu)
      #expect(screen.candidates(for: x, count: 1) == nil)
    }
    // More rows, or more of the largest, than there are answers for.
    #expect(screen.answers(rows: 4, count: 30) && !screen.answers(rows: 5, count: 1))
    #expect(!screen.answers(rows: 1, count: rows) && !screen.answers(rows: 1, count: .max))
    #expect(!screen.answers(rows: 0, count: 1) && !screen.answers(rows: 1, count: 0))
  }
}
