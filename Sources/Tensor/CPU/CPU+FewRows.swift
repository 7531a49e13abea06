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
    let wide = Scratch(Float.self, count: m * columns, pool: pool)
    cast(a, into: wide.destination)
    if alpha != 1 { scale(wide.destination.operand, by: alpha, into: wide.destination) }
    let padded = (columns + 31) / 32 * 32
    let arranged = Scratch(Float.self, count: m * padded, pool: pool)
    let sums = Scratch(Float.self, count: m * rows, pool: pool)
    for row in 0..<m {
      arrange(
        wide.pointer + row * columns, for: w, into: arranged.pointer + row * padded, columns, padded
      )
    }
    let (x, y) = (arranged.pointer, sums.pointer)
    // Some microseconds of reading: threads wait for the last one for half of that at the end of every product.
    parallelStreams(rows, grain: max(4, (1 << 16) / columns / 4 * 4)) { range in
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
    if beta == 0 {
      cast(sums.destination.operand, into: c)
    } else {
      if beta != 1 { scale(c.operand, by: beta, into: c) }
      axpy(1, sums.destination.operand, into: c)
    }
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
