// Products with a weight that may be kept in fewer bits than are computed with, and may have a low-rank part. The weight is
// unpacked in pieces that stay in cache; a dense copy never exists.

/// A weight matrix [F, C] in the form in which it is kept.
package enum PackedWeight: Sendable {
  /// Elements of a narrower float type than those of the other factor, or of the same one.
  case narrow(Tensor)
  /// NF4 codes.
  case nf4(QuantizedTensor)
  /// bfloat16 without loss.
  case compressed(CompressedTensor)

  package var shape: Shape {
    switch self {
    case .narrow(let tensor): tensor.shape
    case .nf4(let tensor): tensor.shape
    case .compressed(let tensor): tensor.shape
    }
  }

  var backend: any Backend {
    switch self {
    case .narrow(let tensor): tensor.backend
    case .nf4(let tensor): tensor.backend
    case .compressed(let tensor): tensor.backend
    }
  }

  var operand: PackedOperand {
    switch self {
    case .narrow(let tensor): .narrow(tensor.operand)
    case .nf4(let tensor): .nf4(tensor.operand)
    case .compressed(let tensor): .compressed(tensor.operand)
    }
  }

  /// Bytes of all parts.
  package var byteCount: Int {
    switch self {
    case .narrow(let tensor): tensor.byteCount
    case .nf4(let tensor): tensor.byteCount
    case .compressed(let tensor): tensor.byteCount
    }
  }

  /// Some rows of the matrix, in `dtype`.
  package func unpacked(rows: Range<Int>, dtype: DType = .float32) -> Tensor {
    precondition(
      shape.rank == 2 && rows.lowerBound >= 0 && rows.upperBound <= shape[0],
      "unpacked: rows \(rows) of \(shape)")
    let y = Tensor(uninitialized: [rows.count, shape[1]], dtype, backend: backend)
    launch(self, y) {
      backend.unpack(operand, from: rows.lowerBound * shape[1], into: y.destination)
    }
    return y
  }

  /// A weight of the same sizes without contents.
  package func outline(on backend: SizingBackend) -> PackedWeight {
    switch self {
    case .narrow(let tensor): .narrow(backend.tensor(tensor.shape, tensor.dtype))
    case .nf4(let tensor): .nf4(tensor.outline(on: backend))
    case .compressed(let tensor): .compressed(tensor.outline(on: backend))
    }
  }
}

/// The low-rank part of a product with a weight: s·h·bᵀ where the weight is transposed, b [F, R], and s·h·b where it is not,
/// b [R, C].  h [.., R]
package struct LowRankTerm: Sendable {
  let h, b: Tensor
  let scale: Double

  /// A part of factors in the type of the product's.
  package init(_ h: Tensor, _ b: Tensor, scale: Double = 1) {
    (self.h, self.b, self.scale) = (h, b, scale)
  }
}

extension LowRankTerm {
  fileprivate var operand: LowRankOperand {
    LowRankOperand(h: h.operand, b: b.operand, rank: h.columnCount, scale: scale)
  }

  /// Traps where this is no part of y, the product with a weight or with its transpose.
  fileprivate func require(for y: Tensor, transposed: Bool) {
    let expected: Shape =
      transposed ? [y.columnCount, h.columnCount] : [h.columnCount, y.columnCount]
    precondition(
      h.rowCount == y.rowCount && b.shape == expected && h.dtype == y.dtype && b.dtype == y.dtype
        && h.backend === y.backend && b.backend === y.backend,
      "matmul: no low-rank part \(h.shape) \(h.dtype.rawValue), \(b.shape) \(b.dtype.rawValue) of \(y.shape) \(y.dtype.rawValue)"
    )
  }
}

/// One of several products with the same x: x·Wᵀ and a low-rank part.
package struct PackedTerm: Sendable {
  let weight: PackedWeight
  let lowRank: LowRankTerm?

  /// The product with `weight` [F, C], and a part of it where there is one.
  package init(_ weight: PackedWeight, plus lowRank: LowRankTerm? = nil) {
    (self.weight, self.lowRank) = (weight, lowRank)
  }
}

extension Tensor {
  /// x·Wᵀ (`transposeWeight`) or x·W, and the low-rank part.  W [F, C]; x [.., C] → [.., F], or x [.., F] → [.., C]
  package static func matmul(
    _ x: Tensor, packed w: PackedWeight, transposeWeight: Bool, plus lowRank: LowRankTerm? = nil
  ) -> Tensor {
    let columns = w.shape[transposeWeight ? 0 : 1]
    var y = Tensor(
      uninitialized: x.shape.replacingLast(with: columns), x.dtype, backend: x.backend)
    y.accumulateMatmul(x, packed: w, transposeWeight: transposeWeight, beta: 0, plus: lowRank)
    return y
  }

  /// self ← β·self + x·Wᵀ (`transposeWeight`) or x·W, and the low-rank part, in place when nobody else holds the storage.
  package mutating func accumulateMatmul(
    _ x: Tensor, packed w: PackedWeight, transposeWeight: Bool, beta: Double = 1,
    plus lowRank: LowRankTerm? = nil
  ) {
    precondition(
      w.shape.rank == 2 && x.columnCount == w.shape[transposeWeight ? 1 : 0]
        && columnCount == w.shape[transposeWeight ? 0 : 1] && rowCount == x.rowCount
        && dtype == x.dtype,
      "matmul: cannot multiply \(x.shape) \(x.dtype.rawValue) by a packed \(w.shape) into \(shape) \(dtype.rawValue)"
    )
    precondition(
      x.backend === w.backend && x.backend === backend, "matmul: operands on several devices")
    lowRank?.require(for: self, transposed: transposeWeight)
    makeUnique()
    launch(x, w, lowRank, self) {
      backend.matmul(
        x.operand, packed: w.operand, transposeWeight: transposeWeight, m: x.rowCount,
        rows: w.shape[0], columns: w.shape[1], beta: beta, plus: lowRank?.operand,
        into: destination)
    }
  }

  /// x·Wᵀ and the low-rank part for several weights W [F, C] in one go.  x [.., C] → [.., F] each
  package static func matmul(_ x: Tensor, packed terms: [PackedTerm]) -> [Tensor] {
    let results = terms.map { term in
      let (w, shape) = (term.weight, term.weight.shape)
      precondition(
        shape.rank == 2 && x.columnCount == shape[1] && x.backend === w.backend,
        "matmul: cannot multiply \(x.shape) \(x.dtype.rawValue) by a packed \(shape)")
      let y = Tensor(
        uninitialized: x.shape.replacingLast(with: shape[0]), x.dtype, backend: x.backend)
      term.lowRank?.require(for: y, transposed: true)
      return y
    }
    launch(x, terms, results) {
      x.backend.matmul(
        x.operand,
        packed: zip(terms, results).map { term, y in
          PackedProduct(
            weight: term.weight.operand, rows: y.columnCount, lowRank: term.lowRank?.operand,
            result: y.destination)
        }, m: x.rowCount, columns: x.columnCount)
    }
    return results
  }

  /// The weight as a product with numbers of type `dtype` takes it: types of 16 bits are unpacked on the way, all else is converted.
  package func factor(for dtype: DType) -> Tensor {
    (self.dtype == .bfloat16 || self.dtype == .float16) && dtype.isFloatingPoint
      ? self : cast(to: dtype)
  }

  /// x·Wᵀ (`transposeWeight`) or x·W for a weight in the type of x or in a narrower one.
  package static func matmul(_ x: Tensor, weight: Tensor, transposeWeight: Bool) -> Tensor {
    x.dtype == weight.dtype
      ? matmul(x, weight, transposeB: transposeWeight)
      : matmul(x, packed: .narrow(weight), transposeWeight: transposeWeight)
  }
}
