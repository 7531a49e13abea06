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
      (290, 31, 16), (9, 513, 33), (6, 530, 770), (150, 520, 400), (27, 70, 545), (4, 64, 1100),
      (145, 20, 1088), (38, 16, 1090),
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
    // Even and odd strides of the first factor, whose rows are read where they are beside few columns.
    let lengthA = product.isTransposed.a ? m : k
    let strideA = lengthA + (m % 2 == 0 ? 4 - lengthA % 2 : 3)
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
    // Numbers that bfloat16 has too.
    let before = numbers(m * strideC, 3).cast(to: .bfloat16).cast(to: .float32)
    var result = try before.array(of: Float.self)
    var results: [[Float]] = []
    if product.beta == 0 {
      // What is not read may be anything.
      for i in 0..<m { for j in 0..<n { result[i * strideC + j] = .nan } }
    }
    let (bytesA, bytesB) = (try a.bytes(), try dense.bytes())
    try bytesA.withUnsafeBytes { a in
      try bytesB.withUnsafeBytes { b in
        let first = ck_factor(
          elements: a.baseAddress, type: dtype == .bfloat16 ? ck_type_bf16 : ck_type_f32,
          is_transposed: product.isTransposed.a ? 1 : 0, stride: strideA, terms: 0, next: nil,
          next_scale: 1)
        let whole = Calls(
          first: first, panels: ck_gemm_panels(first.type, type), product: product,
          strideC: strideC, before: result)
        func run(_ second: ck_factor) {
          result = whole.product(by: second, .float32)
          results.append(result)
          func expectSame(_ other: [Float], as expected: [Float], _ how: String) {
            precondition(
              zip(expected, other).allSatisfy {
                $0.bitPattern == $1.bitPattern || $0.isNaN && $1.isNaN
              }, "\(product), type \(type.rawValue): other bits \(how)")
          }
          let narrow = result.map { BFloat16($0).float }
          expectSame(whole.product(by: second, .bfloat16), as: narrow, "in bfloat16")
          expectSame(whole.productInSteps(by: second, .float32), as: result, "in steps")
          expectSame(whole.productInSteps(by: second, .bfloat16), as: narrow, "in bfloat16 steps")
          if !isQuantized, k > 1 {
            let cut = max(1, k * 2 / 3)
            let continued = Calls(
              first: first, panels: whole.panels, product: product, strideC: strideC,
              before: whole.before, cut: cut)
            let continuedResult = continued.product(by: second, .float32)
            // A first factor of an odd number of terms ends with half a word, and all sums after it are other ones.
            if whole.panels == ck_panels_f32 || cut % 2 == 0 {
              expectSame(continuedResult, as: result, "from two factors")
            }
            for isWhole in [false, true] {
              expectSame(
                continued.productInSteps(by: second, .float32, isPackedWhole: isWhole),
                as: continuedResult, "in steps of two")
            }
            results.append(continuedResult)
          }
        }
        if isQuantized {
          try Self.withKernelView(of: quantized) { weight in
            run(
              ck_factor(
                elements: weight, type: type, is_transposed: product.isTransposed.b ? 1 : 0,
                stride: strideB, terms: 0, next: nil,
                next_scale: 1))
          }
        } else {
          run(
            ck_factor(
              elements: b.baseAddress, type: type, is_transposed: product.isTransposed.b ? 1 : 0,
              stride: strideB, terms: 0, next: nil,
              next_scale: 1))
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
          results.allSatisfy { Double($0[i * strideC + j]) == old[i * strideC + j] },
          "written between rows")
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
        let allowed = 4e-7 * (size + kept.magnitude + 1)
        for result in results {
          let difference = (Double(result[i * strideC + j]) - expected).magnitude
          excess = difference.isNaN ? .infinity : max(excess, difference / allowed)
        }
      }
    }
    return excess
  }

  /// The calls that make one product.
  private struct Calls {
    let first: ck_factor
    let panels: ck_panels
    let product: Case
    let strideC: Int
    /// What is there before: float32 in rows of `strideC`.
    let before: [Float]
    /// Terms after which both factors go on in a second one; 0 for factors in one piece.
    var cut = 0

    private var rows: Range<Int> { 0..<product.m }

    /// A part that has all columns.
    private func part(_ rows: Range<Int>, _ terms: Range<Int>) -> ck_part {
      ck_part(
        row: rows.lowerBound, rows: rows.count, column: 0, columns: product.n,
        term: terms.lowerBound, terms: terms.count, panels: panels, band: ck_band_whole, diagonal: 0
      )
    }

    /// Calls `body` with both factors, in two pieces where there is a cut.
    private func withFactors(
      _ second: ck_factor, _ body: (UnsafePointer<ck_factor>, UnsafePointer<ck_factor>) -> Void
    ) {
      func rest(_ x: ck_factor, movesRows: Bool) -> ck_factor {
        var rest = x
        let count = movesRows ? cut * x.stride : cut
        rest.elements = x.elements + count * (x.type == ck_type_f32 ? 4 : 2)
        return rest
      }
      guard cut > 0 else {
        withUnsafePointer(to: first) { a in withUnsafePointer(to: second) { b in body(a, b) } }
        return
      }
      withUnsafePointer(to: rest(first, movesRows: first.is_transposed != 0)) { nextA in
        withUnsafePointer(to: rest(second, movesRows: second.is_transposed == 0)) { nextB in
          var (a, b) = (first, second)
          (a.terms, a.next, b.terms, b.next) = (cut, nextA, cut, nextB)
          withUnsafePointer(to: a) { a in withUnsafePointer(to: b) { b in body(a, b) } }
        }
      }
    }

    /// What is there after `body` has written into it in the type, as float32; sums lie a little apart.
    private func result(_ type: DType, _ body: (_ from: Int, inout ck_result) -> Void) -> [Float] {
      var wide = before
      var narrow = before.map { BFloat16($0) }
      var sums = [Float](repeating: .nan, count: product.m * (product.n + 1))
      sums.withUnsafeMutableBufferPointer { sums in
        wide.withUnsafeMutableBytes { wide in
          narrow.withUnsafeMutableBytes { narrow in
            var result = ck_result()
            let isNarrow = type == .bfloat16
            result.elements = isNarrow ? narrow.baseAddress : wide.baseAddress
            result.type = isNarrow ? ck_type_bf16 : ck_type_f32
            result.stride = strideC
            result.sums = sums.baseAddress
            result.sums_stride = product.n + 1
            body(isNarrow ? 2 : 4, &result)
          }
        }
      }
      return type == .bfloat16 ? narrow.map(\.float) : wide
    }

    /// In one call.
    func product(by second: ck_factor, _ type: DType) -> [Float] {
      result(type) { _, result in
        withFactors(second) { a, b in
          var part = part(rows, 0..<product.k)
          _ = ck_gemm(a, b, &part, product.alpha, product.beta, &result)
        }
      }
    }

    /// With the first factor packed before, rows in two parts, and terms run by run or all at once.
    func productInSteps(by second: ck_factor, _ type: DType, isPackedWhole: Bool = false)
      -> [Float]
    {
      let (m, k) = (product.m, product.k)
      let unit = ck_gemm_panel_rows()
      let height = (m + unit - 1) / unit * unit
      let cutRow = min(m, height / (2 * unit) * unit)
      return result(type) { elementSize, result in
        withFactors(second) { a, b in
          let runs = BlockedProductTests.runs(k, panels)
          func words(_ terms: Range<Int>) -> Int {
            let own = cut > terms.lowerBound ? min(cut, terms.upperBound) - terms.lowerBound : 0
            return ck_gemm_words(panels, own) + ck_gemm_words(panels, terms.count - own)
          }
          for terms in isPackedWhole ? [0..<k] : runs {
            let words = isPackedWhole ? runs.map(words).reduce(0, +) : words(terms)
            var packed = [Float](repeating: 7, count: height * words + 8)
            for rows in [cutRow..<m, 0..<cutRow] where !rows.isEmpty {
              var part = part(rows, terms)
              ck_gemm_pack(a, &part, rows.lowerBound, height, &packed)
            }
            precondition(
              packed[(height * words)...].allSatisfy { $0 == 7 }, "written behind the panels")
            for rows in [0..<cutRow, cutRow..<m] where !rows.isEmpty {
              var (part, target) = (part(rows, terms), result)
              target.elements += rows.lowerBound * strideC * elementSize
              target.sums += rows.lowerBound * target.sums_stride
              target.is_continued = terms.lowerBound > 0 ? 1 : 0
              target.is_continuing = terms.upperBound < k ? 1 : 0
              _ = ck_gemm_packed(
                packed, rows.lowerBound, height, b, &part, product.alpha, product.beta, &target)
            }
          }
        }
      }
    }
  }

  /// The runs of `k` terms.
  static func runs(_ k: Int, _ panels: ck_panels) -> [Range<Int>] {
    var runs: [Range<Int>] = []
    var term = 0
    while term < k {
      let left = k - term
      let count = left <= ck_gemm_last_run_terms(panels) ? left : ck_gemm_run_terms(panels)
      runs.append(term..<term + count)
      term += count
    }
    return runs
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
    "what lies beyond a diagonal is left out, and nothing else",
    arguments: [(40, 50, 30), (13, 530, 400), (300, 40, 780), (128, 384, 128), (384, 128, 128)],
    [-500, -9, 0, 5, 17, 256, 900])
  func bands(_ extents: (m: Int, n: Int, k: Int), _ diagonal: Int) throws {
    for dtype in [DType.float32, .bfloat16] { try verifyBands(extents, diagonal, dtype) }
  }

  private func verifyBands(
    _ extents: (m: Int, n: Int, k: Int), _ diagonal: Int, _ dtype: DType
  ) throws {
    let (m, n, k) = extents
    let type = dtype == .float32 ? ck_type_f32 : ck_type_bf16
    let panels = ck_gemm_panels(type, type)
    let unit = ck_gemm_panel_rows()
    // Terms of a word: one that the band leaves out may have one before it that is within.
    let width = 2 / ck_gemm_words(panels, 2)
    func numbers(_ rows: Int, _ columns: Int, _ index: Int) throws -> [Float] {
      try Tensor.normal(
        [rows, columns], stream: RandomStream(seed: 5, purpose: .test, index: index)
      ).array(of: Float.self)
    }
    func withElements(_ x: [Float], _ body: (UnsafeRawPointer?) -> Void) {
      if dtype == .float32 {
        x.withUnsafeBytes { body($0.baseAddress) }
      } else {
        x.map { BFloat16($0) }.withUnsafeBytes { body($0.baseAddress) }
      }
    }
    func product(_ a: [Float], _ b: [Float], transposed: Bool, _ band: ck_band) -> [Float] {
      var c = [Float](repeating: .nan, count: m * n)
      withElements(a) { a in
        withElements(b) { b in
          c.withUnsafeMutableBufferPointer { c in
            var first = ck_factor(
              elements: a, type: type, is_transposed: transposed ? 1 : 0,
              stride: transposed ? m : k, terms: 0, next: nil, next_scale: 1)
            var second = ck_factor(
              elements: b, type: type, is_transposed: 0, stride: n, terms: 0, next: nil,
              next_scale: 1)
            // In parts, each with a diagonal of its own to find.
            let (rowCut, columnCut) = (m / 2, n / 2 / 32 * 32)
            for rows in [0..<rowCut, rowCut..<m] {
              for columns in [0..<columnCut, columnCut..<n] where !columns.isEmpty {
                for terms in Self.runs(k, panels) {
                  var part = ck_part(
                    row: rows.lowerBound, rows: rows.count, column: columns.lowerBound,
                    columns: columns.count, term: terms.lowerBound, terms: terms.count,
                    panels: panels, band: band, diagonal: diagonal)
                  var result = ck_result()
                  result.elements = UnsafeMutableRawPointer(
                    c.baseAddress.map { $0 + rows.lowerBound * n + columns.lowerBound })
                  result.stride = n
                  result.is_continued = terms.lowerBound > 0 ? 1 : 0
                  result.is_continuing = terms.upperBound < k ? 1 : 0
                  _ = ck_gemm(&first, &second, &part, 1, 0, &result)
                }
              }
            }
          }
        }
      }
      return c
    }
    let (a, b) = (try numbers(m, k, 1), try numbers(k, n, 2))
    let whole = product(a, b, transposed: false, ck_band_whole)
    let some = product(a, b, transposed: false, ck_band_results)
    var (left, wrong) = (0, 0)
    for i in 0..<m {
      for j in 0..<n where j <= i + diagonal && some[i * n + j] != whole[i * n + j] { wrong += 1 }
      left += some[i * n..<(i + 1) * n].count { $0.isNaN }
    }
    #expect(wrong == 0)
    // Whole tiles of a panel's rows and columns that lie beyond the diagonal are not written.
    let columnUnit = ck_gemm_panel_columns()
    #expect((left > 0) == ((n - 1) / columnUnit * columnUnit > unit - 1 + diagonal))
    // Numbers that no strip of a panel's rows reaches are NaN beside a band, and zero without one.
    let reach = unit - 1 + width - 1
    func factors(beyond: Float) -> (before: [Float], after: [Float]) {
      var before = [Float](repeating: 0, count: m * k)
      var after = before
      for i in 0..<m {
        for t in 0..<k {
          before[i * k + t] =
            t <= i + diagonal ? a[i * k + t] : t > i + diagonal + reach ? beyond : 0
          after[t * m + i] =
            t >= i - diagonal ? a[i * k + t] : t < i - diagonal - reach ? beyond : 0
        }
      }
      return (before, after)
    }
    let (known, unknown) = (factors(beyond: 0), factors(beyond: .nan))
    #expect(
      product(unknown.before, b, transposed: false, ck_band_terms_after)
        == product(known.before, b, transposed: false, ck_band_whole))
    #expect(
      product(unknown.after, b, transposed: true, ck_band_terms_before)
        == product(known.after, b, transposed: true, ck_band_whole))
  }

  @Test(
    "products with a weight in few bits are those of the dense one, on any number of threads",
    arguments: FewRowsTests.Kind.allCases, [DType.float32, .bfloat16])
  func packed(_ kind: FewRowsTests.Kind, _ dtype: DType) throws {
    let (packed, dense) = kind.weight([330, 640])
    for (m, transposed) in [
      (5, true), (9, true), (70, true), (9, false), (1100, true), (70, false),
    ] {
      let x = FewRowsTests.rows(m, transposed ? 640 : 330).cast(to: dtype)
      // A weight is never wider than what it is multiplied by.
      if dtype == .bfloat16, kind == .float32 { continue }
      let expected = Tensor.matmul(
        x.cast(to: .float64), dense.cast(to: .float64), transposeB: transposed)
      let h = FewRowsTests.rows(m, 5).cast(to: dtype)
      let b = FewRowsTests.rows(transposed ? 330 : 5, transposed ? 5 : 640).cast(to: dtype)
      var expectedWithPart = expected
      expectedWithPart.accumulateMatmul(
        h.cast(to: .float64), b.cast(to: .float64), transposeB: transposed, alpha: 0.3)
      var results: [[UInt8]] = []
      for threads in [1, 2, 3] {
        let usual = Workers.count
        Workers.count = threads
        defer { Workers.count = usual }
        let tolerance = dtype == .float32 ? 3e-4 : 1.0
        let part = LowRankTerm(h, b, scale: 0.3)
        for (part, expected) in [(nil, expected), (part, expectedWithPart)] {
          let how = "\(m) rows, \(threads) threads, \(part == nil ? "no" : "a") low-rank part"
          var y = Tensor.matmul(x, packed: packed, transposeWeight: transposed, plus: part)
          #expect(try Self.distance(y, expected) < tolerance, "\(how)")
          y.accumulateMatmul(x, packed: packed, transposeWeight: transposed, plus: part)
          #expect(try Self.distance(y, expected, times: 2) < 2 * tolerance, "\(how), twice")
          results.append(try y.bytes())
        }
      }
      if MatrixProducts.areOwn(dtype) {
        let isSame = results.indices.allSatisfy { results[$0] == results[$0 % 2] }
        #expect(isSame, "\(m) rows")
      }
    }
  }

  /// The largest difference from a multiple of `expected`; infinite where a number is not one.
  private static func distance(_ y: Tensor, _ expected: Tensor, times factor: Double = 1) throws
    -> Double
  {
    try zip(y.doubles(), expected.doubles()).reduce(0) {
      let difference = ($1.0 - factor * $1.1).magnitude
      return difference.isNaN ? .infinity : max($0, difference)
    }
  }

  @Test(
    "rows in blocks and terms in runs give the same, on any number of threads",
    arguments: [(1100, 200, 12_000), (510, 600, 9_000), (510, 300, 18_000)],
    [DType.float32, .bfloat16])
  func runs(_ extents: (m: Int, n: Int, k: Int), _ dtype: DType) throws {
    let (m, n, k) = extents
    let a = FewRowsTests.rows(m, k).cast(to: dtype)
    let b = Tensor.normal([n, k], stream: RandomStream(seed: 3, purpose: .test, index: 7)).cast(
      to: dtype)
    let expected = Tensor.matmul(a.cast(to: .float64), b.cast(to: .float64), transposeB: true)
    var results: [[UInt8]] = []
    for threads in [1, 2, 3] {
      let usual = Workers.count
      Workers.count = threads
      defer { Workers.count = usual }
      var y = Tensor.matmul(a, b, transposeB: true)
      // Sums of some thousand products of normal numbers, and half a unit of bfloat16 at their size.
      let tolerance = dtype == .float32 ? 2e-3 : 2.0
      #expect(try Self.distance(y, expected) < tolerance, "\(threads) threads")
      y.accumulateMatmul(a, b, transposeB: true)
      #expect(try Self.distance(y, expected, times: 2) < 2 * tolerance, "\(threads) threads, twice")
      results.append(try y.bytes())
    }
    if MatrixProducts.areOwn(dtype) {
      let isSame = results.allSatisfy { $0 == results[0] }
      #expect(isSame)
    }
  }

  @Test("attention of a long document is that in float64", arguments: [DType.float32, .bfloat16])
  func longAttention(_ dtype: DType) throws {
    // Tiles beyond 512 keys, and tasks of their own for one head.
    let (tokens, dim) = (700, 32)
    let inputs = (0..<4).map {
      Tensor.normal(
        [tokens * dim], stream: RandomStream(seed: 8, purpose: .test, index: $0)
      ).reshaped([tokens, 1, dim]).cast(to: dtype)
    }
    func results(_ dtype: DType) -> [Tensor] {
      let x = inputs.map { $0.cast(to: dtype) }
      let (y, logSumExp) = Tensor.attention(
        q: x[0], k: x[1], v: x[2], scale: 0.2, documents: nil, keyOffset: 0)
      let (dq, dk, dv) = Tensor.attentionBackward(
        dOut: x[3], q: x[0], k: x[1], v: x[2], out: y, logSumExp: logSumExp, scale: 0.2,
        documents: nil)
      return [y, dq, dk, dv]
    }
    for (result, expected) in zip(results(dtype), results(.float64)) {
      #expect(try Self.distance(result, expected) < (dtype == .float32 ? 2e-5 : 0.1))
    }
  }

  @Test(
    "a query that sees one key leaves q and k without a gradient, exactly",
    arguments: [DType.float32, .bfloat16, .float64])
  func singleKey(_ dtype: DType) throws {
    let documents = [0, 1, 4, 5]
    let x = (0..<4).map {
      Tensor.normal(
        [5, 2, 20], dtype: dtype, stream: RandomStream(seed: 9, purpose: .test, index: $0))
    }
    let (y, logSumExp) = Tensor.attention(
      q: x[0], k: x[1], v: x[2], scale: 0.3, documents: documents, keyOffset: 0)
    let (dq, dk, _) = Tensor.attentionBackward(
      dOut: x[3], q: x[0], k: x[1], v: x[2], out: y, logSumExp: logSumExp, scale: 0.3,
      documents: documents)
    let (q, k) = (try dq.doubles(), try dk.doubles())
    for token in 0..<5 {
      let range = token * 40..<(token + 1) * 40
      #expect(q[range].allSatisfy { $0 == 0 } == [0, 1, 4].contains(token), "\(token)")
      #expect(k[range].allSatisfy { $0 == 0 } == [0, 4].contains(token), "\(token)")
    }
  }
}
