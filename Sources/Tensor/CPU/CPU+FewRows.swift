// Products of a weight with few rows (decoding, one conversation or several at a time). The weight is what has to be moved,
// so each of its elements is read once, in the form in which it is kept, and multiplied where it is.

import CKernels

extension CPUBackend {
  /// Rows of the other factor up to which a product is one of these.
  static let fewRows = Int(CK_MATVEC_ROWS)

  /// Whether the kernels take a weight in NF4 of so many columns.
  static func multipliesFewRows(ofNF4Columns columns: Int) -> Bool { columns % 64 == 0 }

  /// How far apart rows of the other factor are at most.
  static func mostPaddedColumns(_ columns: Int) -> Int { (columns + 127) / 128 * 128 }

  /// c ← α·a·Wᵀ + β·c for a [m, columns] of few rows and W [rows, columns] of float32, bfloat16 or NF4.
  ///
  /// Sums are float32, in an order that depends on the number of columns alone: a row of c does not depend on the others.
  func multiplyFewRows(
    _ a: Operand, _ w: PackedOperand, m: Int, rows: Int, columns: Int, alpha: Double, beta: Double,
    into c: Destination
  ) {
    let sums = Scratch(Float.self, count: m * rows, pool: pool)
    if case .narrow(let narrow) = w, w.isMultipliedInPairs(by: a.dtype) {
      let (w, x, y) = (narrow.pointer(UInt16.self), a.pointer(UInt16.self), sums.pointer)
      forEachTask(rows, (1 << 16) / max(columns, 1)) { range in
        let first = range.lowerBound
        ck_matvec_pairs(w + first * columns, x, m, y + first, rows, range.count, columns)
      }
      if alpha != 1 { scale(sums.destination.operand, by: alpha, into: sums.destination) }
      add(sums.destination.operand, beta, into: c)
      return
    }
    let wide = Scratch(Float.self, count: m * columns, pool: pool)
    cast(a, into: wide.destination)
    if alpha != 1 { scale(wide.destination.operand, by: alpha, into: wide.destination) }
    let padded = w.paddedColumns(columns)
    let arranged = Scratch(Float.self, count: m * Self.mostPaddedColumns(columns), pool: pool)
    for row in 0..<m {
      arrange(
        wide.pointer + row * columns, for: w, into: arranged.pointer + row * padded, columns, padded
      )
    }
    let (x, y) = (arranged.pointer, sums.pointer)
    forEachTask(rows, w.elementsOfTask / max(columns, 1)) { range in
      let (first, count) = (range.lowerBound, range.count)
      switch w {
      case .nf4(let w):
        withUnsafePointer(to: ck_nf4(w)) {
          ck_nf4_matvec($0, first, x, m, y + first, rows, count, columns)
        }
      case .narrow(let w) where w.dtype == .bfloat16:
        ck_matvec_bf16(
          w.pointer(UInt16.self) + first * columns, columns, x, m, y + first, rows, count, columns)
      case .narrow(let w):
        ck_matvec_f32(
          w.pointer(Float.self) + first * columns, columns, x, m, y + first, rows, count, columns)
      }
    }
    add(sums.destination.operand, beta, into: c)
  }

  /// Rows of a weight in tasks of about `count`: some microseconds of reading, since threads wait for the last one for half of that at the end of
  /// every product.
  private func forEachTask(_ rows: Int, _ count: Int, _ body: (Range<Int>) -> Void) {
    parallelStreams(rows, grain: max(8, count / 8 * 8), body)
  }

  /// c ← x + β·c.
  private func add(_ x: Operand, _ beta: Double, into c: Destination) {
    guard beta != 0 else { return cast(x, into: c) }
    if beta != 1 { scale(c.operand, by: beta, into: c) }
    axpy(1, x, into: c)
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
  fileprivate func paddedColumns(_ columns: Int) -> Int {
    if case .nf4 = self { return CPUBackend.mostPaddedColumns(columns) }
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
