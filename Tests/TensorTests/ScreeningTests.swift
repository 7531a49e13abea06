// Screens of a matrix: no row is missed whose product can be among the largest.

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
      var numbers = try w.array(of: Float.self)
      numbers[numbers.count - 5] = bad
      #expect(Tensor(numbers, shape: w.shape, on: .cpu).rowScreen() == nil)
      #expect(
        Tensor(numbers, shape: w.shape, on: .cpu).cast(to: .bfloat16).rowScreen() == nil)
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
    // More rows, or more of the largest, than there are answers for.
    #expect(screen.candidates(for: Self.rows(5, columns), count: 1) == nil)
    #expect(screen.candidates(for: Self.rows(1, columns), count: rows) == nil)
  }
}
