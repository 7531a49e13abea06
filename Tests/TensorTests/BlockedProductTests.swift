// Products in blocks: the kernels in C by themselves, and weights in 16 and 4 bits through tensors.

import CKernels
import Tensor
import TensorTestSupport
import Testing

@Suite("Products in blocks")
struct BlockedProductTests {
  /// A product of the kernel: extents, transposes, and the numbers of the second factor.
  struct Case: Sendable, CustomStringConvertible {
    let m, n, k: Int
    let isTransposed: (a: Bool, b: Bool)
    let alpha, beta: Float

    var description: String {
      "[\(m), \(k)]\(isTransposed.a ? "ᵀ" : "") · [\(k), \(n)]\(isTransposed.b ? "ᵀ" : ""), α \(alpha), β \(beta)"
    }
  }

  /// Whole and broken tiles, blocks of rows, terms and columns, and what lies behind them.
  static let cases: [Case] = {
    let sizes = [
      (1, 1, 1), (5, 15, 7), (6, 16, 8), (7, 17, 9), (13, 33, 31), (12, 48, 384), (11, 40, 385),
      (145, 20, 70),
      (290, 31, 16), (9, 513, 33), (6, 530, 770), (150, 520, 400),
    ]
    let factors: [(Float, Float)] = [(1, 0), (0.5, 1), (1, -0.25)]
    return sizes.enumerated().flatMap { index, size in
      [(false, false), (false, true), (true, false), (true, true)].map { transposed in
        let (alpha, beta) = factors[(index + (transposed.0 ? 1 : 0)) % factors.count]
        return Case(
          m: size.0, n: size.1, k: size.2, isTransposed: transposed, alpha: alpha, beta: beta)
      }
    }
  }()

  @Test("the kernel agrees with sums in float64", arguments: cases)
  func kernel(_ product: Case) throws {
    for type in [ck_type_f32, ck_type_bf16, ck_type_nf4, ck_type_nf4_bf16] {
      let excess = try Self.excess(product, type)
      #expect(excess < 1, "type \(type.rawValue)")
    }
  }

  /// The largest difference from sums in float64 over what is allowed; traps where the kernel writes beside its results.
  static func excess(_ product: Case, _ type: ck_type) throws -> Double {
    let (m, n, k) = (product.m, product.n, product.k)
    let isQuantized = type == ck_type_nf4 || type == ck_type_nf4_bf16
    // Rows are further apart than they are long.
    let strideA = (product.isTransposed.a ? m : k) + 3
    let strideB = (product.isTransposed.b ? k : n) + (isQuantized ? 0 : 5)
    let strideC = n + 2
    let rowsB = product.isTransposed.b ? n : k
    func numbers(_ count: Int, _ index: Int) -> Tensor {
      .normal([count], stream: RandomStream(seed: 11, purpose: .test, index: index))
    }
    let dtype: DType = type == ck_type_bf16 || type == ck_type_nf4_bf16 ? .bfloat16 : .float32
    let a = numbers((product.isTransposed.a ? k : m) * strideA, 1).cast(to: dtype)
    let dense = numbers(rowsB * strideB, 2).cast(to: dtype)
    let quantized = QuantizedTensor(
      quantizing: dense.cast(to: .float32).reshaped([rowsB, strideB]),
      as: .init(blockSize: 64, isDoubleQuantized: false))
    let before = numbers(m * strideC, 3)
    var result = try before.array(of: Float.self)
    if product.beta == 0 {
      // What is not read may be anything.
      for i in 0..<m { for j in 0..<n { result[i * strideC + j] = .nan } }
    }
    let (bytesA, bytesB) = (try a.bytes(), try dense.bytes())
    try bytesA.withUnsafeBytes { a in
      try bytesB.withUnsafeBytes { b in
        let first = ck_factor(
          elements: a.baseAddress, type: dtype == .bfloat16 ? ck_type_bf16 : ck_type_f32,
          is_transposed: product.isTransposed.a ? 1 : 0, stride: strideA, first: 0)
        func run(_ second: ck_factor) {
          var (first, second) = (first, second)
          var inSteps = result
          _ = ck_gemm(&first, &second, m, n, k, product.alpha, product.beta, &result, strideC)
          // In two steps, rows in two parts each: the same to the bit.
          let height = (m + 5) / 6 * 6
          let cut = min(m, height / 12 * 6)
          var packed = [Float](repeating: 7, count: height * k + 8)
          for part in [cut..<m, 0..<cut] where !part.isEmpty {
            ck_gemm_pack(&first, part.lowerBound, part.count, k, height, &packed)
          }
          precondition(packed[(height * k)...].allSatisfy { $0 == 7 }, "written behind the panels")
          inSteps.withUnsafeMutableBufferPointer { c in
            for part in [0..<cut, cut..<m] where !part.isEmpty {
              _ = ck_gemm_packed(
                packed, part.lowerBound, height, &second, part.count, n, k, product.alpha,
                product.beta, c.baseAddress.map { $0 + part.lowerBound * strideC }, strideC)
            }
          }
          precondition(
            zip(result, inSteps).allSatisfy {
              $0.bitPattern == $1.bitPattern || $0.isNaN && $1.isNaN
            },
            "other bits in two steps")
        }
        if isQuantized {
          try Self.withKernelView(of: quantized) { weight in
            run(
              ck_factor(
                elements: weight, type: type, is_transposed: product.isTransposed.b ? 1 : 0,
                stride: strideB, first: 0))
          }
        } else {
          run(
            ck_factor(
              elements: b.baseAddress, type: type, is_transposed: product.isTransposed.b ? 1 : 0,
              stride: strideB, first: 0))
        }
      }
    }
    let (x, old) = (try a.doubles(), try before.doubles())
    let unpacked = quantized.dequantized().reshaped([rowsB * strideB])
    let w = try (isQuantized ? unpacked.cast(to: dtype) : dense).doubles()
    var excess = 0.0
    for i in 0..<m {
      for j in n..<strideC {
        precondition(
          Double(result[i * strideC + j]) == old[i * strideC + j], "written between rows")
      }
      for j in 0..<n {
        var sum = 0.0
        var size = 0.0
        for t in 0..<k {
          let left = x[product.isTransposed.a ? t * strideA + i : i * strideA + t]
          let right = w[product.isTransposed.b ? j * strideB + t : t * strideB + j]
          sum += left * right
          size += (left * right).magnitude
        }
        let kept = product.beta == 0 ? 0 : Double(product.beta) * old[i * strideC + j]
        let expected = Double(product.alpha) * sum + kept
        let difference = (Double(result[i * strideC + j]) - expected).magnitude
        let allowed = 4e-7 * (size + kept.magnitude + 1)
        excess = difference.isNaN ? .infinity : max(excess, difference / allowed)
      }
    }
    return excess
  }

  /// Calls `body` with the matrix as the kernels see it.
  private static func withKernelView(
    of weight: QuantizedTensor, _ body: (UnsafePointer<ck_nf4>) -> Void
  ) throws {
    guard case .plain(let values) = weight.scales else { preconditionFailure("nested scales") }
    let (codes, levels) = (try weight.codes.bytes(), try weight.codeBook.array(of: Float.self))
    let scales = try values.array(of: Float.self)
    codes.withUnsafeBufferPointer { codes in
      levels.withUnsafeBufferPointer { levels in
        scales.withUnsafeBufferPointer { scales in
          var view = ck_nf4()
          view.codes = codes.baseAddress
          view.levels = levels.baseAddress
          view.scales = scales.baseAddress
          view.block_shift = UInt32(weight.blockSize.trailingZeroBitCount)
          withUnsafePointer(to: view, body)
        }
      }
    }
  }

  @Test(
    "products with a weight in few bits are those of the dense one, on any number of threads",
    arguments: FewRowsTests.Kind.allCases, [DType.float32, .bfloat16])
  func packed(_ kind: FewRowsTests.Kind, _ dtype: DType) throws {
    let (packed, dense) = kind.weight([330, 640])
    for (m, transposed) in [(9, true), (70, true), (9, false), (1100, true), (70, false)] {
      let x = FewRowsTests.rows(m, transposed ? 640 : 330).cast(to: dtype)
      // A weight is never wider than what it is multiplied by.
      if dtype == .bfloat16, kind == .float32 { continue }
      let expected = Tensor.matmul(
        x.cast(to: .float64), dense.cast(to: .float64), transposeB: transposed)
      var results: [[UInt8]] = []
      for threads in [1, 2, 3] {
        let usual = Workers.count
        Workers.count = threads
        defer { Workers.count = usual }
        var y = Tensor.matmul(x, packed: packed, transposeWeight: transposed)
        let largest = try zip(y.doubles(), expected.doubles()).map { ($0 - $1).magnitude }.max()
        let tolerance = dtype == .float32 ? 3e-4 : 1.0
        #expect(try #require(largest) < tolerance, "\(m) rows, \(threads) threads")
        y.accumulateMatmul(x, packed: packed, transposeWeight: transposed)
        let twice = try zip(y.doubles(), expected.doubles()).map { ($0 - 2 * $1).magnitude }.max()
        #expect(try #require(twice) < 2 * tolerance, "\(m) rows, \(threads) threads")
        results.append(try y.bytes())
      }
      #expect(results.allSatisfy { $0 == results[0] })
    }
  }
}
