// Products of a weight with few rows (decoding, one conversation or several at a time). The weight is what has to be moved,
// so each of its elements is read once, in the form in which it is kept, and multiplied where it is.

import CKernels

extension CPUBackend {
  /// Rows of the other factor up to which a product is one of these.
  static let fewRows = Int(CK_MATVEC_ROWS)

  /// Whether the kernels take a weight in NF4 of so many columns.
  static func multipliesFewRows(ofNF4Columns columns: Int) -> Bool { columns % 64 == 0 }

  /// c ← α·a·Wᵀ + β·c for a [m, columns] of few rows and W [rows, columns] of float32, bfloat16 or NF4.
  ///
  /// Sums are float32, in an order that depends on the number of columns alone: a row of c does not depend on the others.
  func multiplyFewRows(
    _ a: Operand, _ w: PackedOperand, m: Int, rows: Int, columns: Int, alpha: Double, beta: Double,
    into c: Destination
  ) {
    if case .narrow(let narrow) = w, w.isMultipliedInPairs(by: a.dtype) {
      let (w, x) = (narrow.pointer(UInt16.self), a.pointer(UInt16.self))
      forEachTask(rows, (1 << 16) / max(columns, 1)) { range in
        c.takeSums(range, m: m, rows: rows, alpha: Float(alpha), beta: Float(beta)) { y, stride in
          ck_matvec_pairs(w + range.lowerBound * columns, x, m, y, stride, range.count, columns)
        }
      }
      return
    }
    let padded = w.paddedColumns(columns)
    let arranged = Scratch(Float.self, count: m * padded, pool: pool)
    let wide = Scratch(Float.self, count: a.dtype == .float32 ? 0 : columns, pool: pool)
    for row in 0..<m {
      if a.dtype != .float32 {
        ck_widen(a.pointer(UInt16.self) + row * columns, wide.pointer, columns)
      }
      arrange(
        a.dtype == .float32 ? a.pointer(Float.self) + row * columns : UnsafePointer(wide.pointer),
        for: w, into: arranged.pointer + row * padded, columns, padded)
    }
    let x = arranged.pointer
    forEachTask(rows, w.elementsOfTask / max(columns, 1)) { range in
      let (first, count) = (range.lowerBound, range.count)
      c.takeSums(range, m: m, rows: rows, alpha: Float(alpha), beta: Float(beta)) { y, stride in
        switch w {
        case .nf4(let w):
          withUnsafePointer(to: ck_nf4(w)) {
            ck_nf4_matvec($0, first, x, m, y, stride, count, columns)
          }
        case .narrow(let w) where w.dtype == .bfloat16:
          ck_matvec_bf16(
            w.pointer(UInt16.self) + first * columns, columns, x, m, y, stride, count, columns)
        case .narrow(let w):
          ck_matvec_f32(
            w.pointer(Float.self) + first * columns, columns, x, m, y, stride, count, columns)
        }
      }
    }
  }

  /// Rows of a weight in tasks of about `count`: some microseconds of reading, since threads wait for the last one for half of that at the end of
  /// every product.
  private func forEachTask(_ rows: Int, _ count: Int, _ body: (Range<Int>) -> Void) {
    parallelStreams(rows, grain: max(8, count / 8 * 8), body)
  }

  /// y ← x in the order in which the kernel of `w` reads it, with zeros up to `padded` elements.
  private func arrange(
    _ x: UnsafePointer<Float>, for w: PackedOperand, into y: UnsafeMutablePointer<Float>,
    _ columns: Int, _ padded: Int
  ) {
    switch w {
    case .nf4: ck_nf4_order(x, y, columns)
    case .narrow(let w) where w.dtype == .bfloat16: ck_split_pairs(x, y, columns)
    case .narrow:
      y.update(from: x, count: columns)
      (y + columns).update(repeating: 0, count: padded - columns)
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

extension PackedOperand {
  /// Whether this weight and rows of `dtype` are multiplied as they are, by the instruction for pairs in bfloat16.
  func isMultipliedInPairs(by dtype: DType) -> Bool {
    guard case .narrow(let w) = self else { return false }
    return w.dtype == .bfloat16 && dtype == .bfloat16 && ck_multiplies_pairs() != 0
  }

  /// Elements of a task: numbers in 4 bits take a third of the time of others.
  fileprivate var elementsOfTask: Int {
    if case .nf4 = self { return 1 << 17 }
    return 1 << 16
  }

  /// How far apart rows of the other factor are for its kernel of few rows.
  func paddedColumns(_ columns: Int) -> Int {
    if case .nf4 = self { return (columns + 127) / 128 * 128 }
    return (columns + 31) / 32 * 32
  }
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
