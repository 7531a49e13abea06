// Products of a weight with few rows (decoding, one conversation or several at a time). The weight is what has to be moved,
// so each of its elements is read once, in the form in which it is kept, and multiplied where it is.

import CKernels

extension CPUBackend {
  /// Rows of the other factor up to which a product is one of these.
  static let fewRows = Int(CK_MATVEC_ROWS)

  /// Whether the kernels take a weight in NF4 of so many columns.
  static func multipliesFewRows(ofNF4Columns columns: Int) -> Bool { columns % 64 == 0 }

  /// c ← α·a·Wᵀ + β·c for a [m, columns] of few rows and W [rows, columns] of float32, bfloat16, also
  /// compressed, or NF4.
  func multiplyFewRows(
    _ a: Operand, _ w: PackedOperand, m: Int, rows: Int, columns: Int, alpha: Double, beta: Double,
    into c: Destination
  ) {
    let product = PackedProduct(weight: w, rows: rows, lowRank: nil, result: c)
    multiplyFewRows(a, [product], m: m, columns: columns, alpha: alpha, beta: beta)
  }

  /// The same for several weights of one form in one go, and with a low-rank part where there is one.
  ///
  /// Sums are float32, in an order that depends on the number of columns alone: a row of c does not depend on the others.
  func multiplyFewRows(
    _ a: Operand, _ products: [PackedProduct], m: Int, columns: Int, alpha: Double = 1,
    beta: Double
  ) {
    guard let form = products.first?.weight.fewRowsForm(beside: a.dtype) else { return }
    // 1. Rows of a as the kernels read them.
    let padded = form.paddedColumns(columns)
    let arranged = Scratch(Float.self, count: form == .pairs ? 0 : m * padded, pool: pool)
    let wide = Scratch(Float.self, count: form == .pairs ? 0 : columns, pool: pool)
    if form != .pairs {
      for row in 0..<m {
        widen(a.slice(row * columns, columns), into: wide.pointer)
        form.arrange(wide.pointer, into: arranged.pointer + row * padded, columns, padded)
      }
    }
    // 2. Those of the low-rank parts.
    let ranks = products.map { ($0.lowRank?.rank ?? 0).roundedUp(to: 16) }
    let inner = Scratch(Float.self, count: m * ranks.reduce(0, +), pool: pool)
    var factors: [UnsafeMutablePointer<Float>] = []
    for (product, stride) in zip(products, ranks) {
      let h = factors.last.map { $0 + m * ranks[factors.count - 1] } ?? inner.pointer
      factors.append(h)
      guard let lowRank = product.lowRank else { continue }
      for row in 0..<m {
        widen(lowRank.h.slice(row * lowRank.rank, lowRank.rank), into: h + row * stride)
        (h + row * stride + lowRank.rank).update(repeating: 0, count: stride - lowRank.rank)
      }
    }
    // 3. Rows of the weights in tasks of some microseconds of reading, since threads wait for the last one for half of that at the end.
    let grain = max(8, form.elementsOfTask / max(columns, 1) / 8 * 8)
    let tasks = products.map { ($0.rows + grain - 1) / grain }
    let x = arranged.pointer
    parallelStreams(tasks.reduce(0, +), grain: 1) { range in
      for task in range {
        var (index, task) = (0, task)
        while task >= tasks[index] {
          task -= tasks[index]
          index += 1
        }
        let product = products[index]
        let rows = task * grain..<min(product.rows, (task + 1) * grain)
        product.result.takeSums(
          rows, m: m, rows: product.rows, alpha: Float(alpha), beta: Float(beta)
        ) { y, stride in
          product.weight.multiply(
            rows, form, pairs: a, x, m: m, columns: columns, into: y, stride: stride)
          product.lowRank?.add(factors[index], to: y, stride: stride, m: m, rows, of: product.rows)
        }
      }
    }
  }

  /// y ← x, which is float32 or bfloat16.
  private func widen(_ x: Operand, into y: UnsafeMutablePointer<Float>) {
    if x.dtype == .float32 {
      y.update(from: x.pointer(Float.self), count: x.count)
    } else {
      ck_widen(x.pointer(UInt16.self), y, x.count)
    }
  }
}

extension Destination {
  /// c[q, range] ← α·sums + β·c[q, range] for the m rows of c [m, rows], of which `body` gives the sums: it gets where they go, and how far apart
  /// rows are there.
  @inline(__always)
  fileprivate func takeSums(
    _ range: Range<Int>, m: Int, rows: Int, alpha: Float, beta: Float,
    _ body: (UnsafeMutablePointer<Float>, Int) -> Void
  ) {
    if dtype == .float32, alpha == 1, beta == 0 {
      return body(pointer(Float.self) + range.lowerBound, rows)
    }
    withUnsafeTemporaryAllocation(of: Float.self, capacity: m * range.count) { memory in
      guard let sums = memory.baseAddress else { return }
      body(sums, range.count)
      for q in 0..<m {
        let (sums, place) = (sums + q * range.count, q * rows + range.lowerBound)
        if alpha != 1 { for i in 0..<range.count { sums[i] *= alpha } }
        if dtype == .float32 {
          let c = pointer(Float.self) + place
          for i in 0..<range.count { c[i] = sums[i] + (beta == 0 ? 0 : beta * c[i]) }
        } else {
          let c = pointer(UInt16.self) + place
          if beta != 0 {
            for i in 0..<range.count { sums[i] += beta * BFloat16(bitPattern: c[i]).float }
          }
          ck_narrow(sums, c, range.count)
        }
      }
    }
  }
}

/// How kernels of few rows read a weight and the rows that are multiplied by it.
enum FewRowsForm {
  /// Both in bfloat16, by the instruction for pairs of them.
  case pairs
  /// A weight in bfloat16, float32 or NF4, and rows in float32.
  case bfloat16, float32, nf4

  /// Elements of a task: numbers in 4 bits take a third of the time of others.
  var elementsOfTask: Int { self == .nf4 ? 1 << 17 : 1 << 16 }

  /// How far apart rows of the other factor are.
  func paddedColumns(_ columns: Int) -> Int { columns.roundedUp(to: self == .nf4 ? 128 : 32) }

  /// y ← x in the order in which the kernel reads it, with zeros up to `padded` elements.
  fileprivate func arrange(
    _ x: UnsafePointer<Float>, into y: UnsafeMutablePointer<Float>, _ columns: Int, _ padded: Int
  ) {
    switch self {
    case .nf4: ck_nf4_order(x, y, columns)
    case .bfloat16: ck_split_pairs(x, y, columns)
    case .float32, .pairs:
      y.update(from: x, count: columns)
      (y + columns).update(repeating: 0, count: padded - columns)
    }
  }
}

extension PackedOperand {
  /// How products with few rows of `dtype` read this weight.
  func fewRowsForm(beside dtype: DType) -> FewRowsForm {
    switch self {
    case .nf4: .nf4
    case .narrow(let w) where w.dtype == .float32: .float32
    case .narrow, .compressed:
      dtype == .bfloat16 && ck_multiplies_pairs() != 0 ? .pairs : .bfloat16
    }
  }

  /// y [m, range] ← the sums of rows `range`.
  fileprivate func multiply(
    _ range: Range<Int>, _ form: FewRowsForm, pairs a: Operand, _ x: UnsafePointer<Float>, m: Int,
    columns: Int, into y: UnsafeMutablePointer<Float>, stride: Int
  ) {
    let (first, count) = (range.lowerBound, range.count)
    switch self {
    case .nf4(let w):
      withUnsafePointer(to: ck_nf4(w)) {
        ck_nf4_matvec($0, first, x, m, y, stride, count, columns)
      }
    case .compressed(let w) where form == .pairs:
      withUnsafePointer(to: ck_compressed(w)) {
        ck_compressed_matvec_pairs($0, first, a.pointer(UInt16.self), m, y, stride, count)
      }
    case .compressed(let w):
      withUnsafePointer(to: ck_compressed(w)) {
        ck_compressed_matvec($0, first, x, m, y, stride, count)
      }
    case .narrow(let w) where form == .pairs:
      ck_matvec_pairs(
        w.pointer(UInt16.self) + first * columns, a.pointer(UInt16.self), m, y, stride, count,
        columns)
    case .narrow(let w) where form == .bfloat16:
      ck_matvec_bf16(
        w.pointer(UInt16.self) + first * columns, columns, x, m, y, stride, count, columns)
    case .narrow(let w):
      ck_matvec_f32(
        w.pointer(Float.self) + first * columns, columns, x, m, y, stride, count, columns)
    }
  }
}

extension LowRankOperand {
  /// y [m, range] ← y + s·h·bᵀ for rows `range` of b, of `total`.
  fileprivate func add(
    _ h: UnsafePointer<Float>, to y: UnsafeMutablePointer<Float>, stride: Int, m: Int,
    _ range: Range<Int>, of total: Int
  ) {
    let (offset, readable) = (range.lowerBound * rank, (total - range.lowerBound) * rank)
    if b.dtype == .float32 {
      ck_add_low_rank_f32(
        b.pointer(Float.self) + offset, rank, readable, h, m, Float(scale), y, stride, range.count)
    } else {
      ck_add_low_rank_bf16(
        b.pointer(UInt16.self) + offset, rank, readable, h, m, Float(scale), y, stride, range.count)
    }
  }
}

extension Int {
  /// The least multiple of `unit` that is no less.
  fileprivate func roundedUp(to unit: Int) -> Int { (self + unit - 1) / unit * unit }
}

extension ck_nf4 {
  /// A matrix in NF4 as the kernels in C read it; it holds for as long as its operands do.
  init(_ w: NF4Operand) {
    self.init()
    codes = w.codes.pointer(UInt8.self)
    levels = w.codeBook.pointer(Float.self)
    block_shift = UInt32(w.blockSize.trailingZeroBitCount)
    switch w.scales {
    case .plain(let values):
      scales = values.pointer(Float.self)
    case .nested(let codes, let codeBook, let values, let offset):
      scale_codes = codes.pointer(UInt8.self)
      scale_levels = codeBook.pointer(Float.self)
      scales = values.pointer(Float.self)
      self.offset = offset
    }
  }
}
