// Products with a weight that is kept in fewer bits than are computed with. The weight is unpacked in pieces that stay
// in cache; a dense copy never exists.

/// A weight matrix [F, C] in the form in which it is kept.
package enum PackedWeight: Sendable {
  /// Elements of a narrower float type than those of the other factor.
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

extension Tensor {
  /// x·Wᵀ (`transposeWeight`) or x·W.  W [F, C]; x [.., C] → [.., F], or x [.., F] → [.., C]
  package static func matmul(_ x: Tensor, packed w: PackedWeight, transposeWeight: Bool) -> Tensor {
    let columns = w.shape[transposeWeight ? 0 : 1]
    var y = Tensor(
      uninitialized: x.shape.replacingLast(with: columns), x.dtype, backend: x.backend)
    y.accumulateMatmul(x, packed: w, transposeWeight: transposeWeight, beta: 0)
    return y
  }

  /// self ← β·self + x·Wᵀ (`transposeWeight`) or x·W, in place when nobody else holds the storage.
  package mutating func accumulateMatmul(
    _ x: Tensor, packed w: PackedWeight, transposeWeight: Bool, beta: Double = 1
  ) {
    precondition(
      w.shape.rank == 2 && x.columnCount == w.shape[transposeWeight ? 1 : 0]
        && columnCount == w.shape[transposeWeight ? 0 : 1] && rowCount == x.rowCount
        && dtype == x.dtype,
      "matmul: cannot multiply \(x.shape) \(x.dtype.rawValue) by a packed \(w.shape) into \(shape) \(dtype.rawValue)"
    )
    precondition(
      x.backend === w.backend && x.backend === backend, "matmul: operands on several devices")
    makeUnique()
    launch(x, w, self) {
      backend.matmul(
        x.operand, packed: w.operand, transposeWeight: transposeWeight, m: x.rowCount,
        rows: w.shape[0], columns: w.shape[1], beta: beta, into: destination)
    }
  }

  /// The weight as a product with numbers of type `dtype` takes it: types of 16 bits are unpacked on the way, all else is converted.
  package func factor(for dtype: DType) -> Tensor {
    (self.dtype == .bfloat16 || self.dtype == .float16) && dtype.isFloatingPoint
      ? self : cast(to: dtype)
  }

  /// self ← self + x·Wᵀ for a weight in the type of x or in a narrower one.
  package mutating func accumulateMatmul(_ x: Tensor, weight: Tensor) {
    if x.dtype == weight.dtype {
      accumulateMatmul(x, weight, transposeB: true)
    } else {
      accumulateMatmul(x, packed: .narrow(weight), transposeWeight: true)
    }
  }

  /// x·Wᵀ (`transposeWeight`) or x·W for a weight in the type of x or in a narrower one.
  package static func matmul(_ x: Tensor, weight: Tensor, transposeWeight: Bool) -> Tensor {
    x.dtype == weight.dtype
      ? matmul(x, weight, transposeB: transposeWeight)
      : matmul(x, packed: .narrow(weight), transposeWeight: transposeWeight)
  }
}
