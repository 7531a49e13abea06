// Products with a weight that may be kept in fewer bits than are computed with, and may have a low-rank part. The weight is
// unpacked in pieces that stay in cache; a dense copy never exists.

/// A weight matrix [F, C] in the form in which it is kept.
package enum PackedWeight: Sendable {
  /// Elements of a narrower float type than those of the other factor, or of the same one.
  case narrow(Tensor)
  /// NF4 codes.
  case nf4(QuantizedTensor)

  var shape: Shape {
    switch self {
    case .narrow(let tensor): tensor.shape
    case .nf4(let tensor): tensor.shape
    }
  }

  var backend: any Backend {
    switch self {
    case .narrow(let tensor): tensor.backend
    case .nf4(let tensor): tensor.backend
    }
  }

  var operand: PackedOperand {
    switch self {
    case .narrow(let tensor): .narrow(tensor.operand)
    case .nf4(let tensor): .nf4(tensor.operand)
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
    if let lowRank {
      let (h, b) = (lowRank.h, lowRank.b)
      let expected: Shape =
        transposeWeight ? [columnCount, h.columnCount] : [h.columnCount, columnCount]
      precondition(
        h.rowCount == x.rowCount && b.shape == expected && h.dtype == dtype && b.dtype == dtype
          && h.backend === backend && b.backend === backend,
        "matmul: no low-rank part \(h.shape) \(h.dtype.rawValue), \(b.shape) \(b.dtype.rawValue) of \(shape) \(dtype.rawValue)"
      )
    }
    makeUnique()
    launch(x, w, lowRank, self) {
      let lowRank = lowRank.map {
        LowRankOperand(
          h: $0.h.operand, b: $0.b.operand, rank: $0.h.columnCount, scale: $0.scale)
      }
      backend.matmul(
        x.operand, packed: w.operand, transposeWeight: transposeWeight, m: x.rowCount,
        rows: w.shape[0], columns: w.shape[1], beta: beta, plus: lowRank, into: destination)
    }
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
