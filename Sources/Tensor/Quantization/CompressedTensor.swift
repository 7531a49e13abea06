// A weight in bfloat16 that takes 12 bits an element and loses nothing: signs and exponents of a matrix are few, and have short codes.

/// A matrix of bfloat16 in three quarters of its bytes. What is computed with it is to the bit what the matrix itself gives.
public struct CompressedTensor: Sendable {
  /// [rows, columns].
  public let shape: Shape
  /// uint8 [rows, 3/2·columns]: lower bytes, and codes of upper ones, in groups.
  let groups: Tensor
  /// int32 [rows + 1]: where the numbers of a row begin among those without a code.
  let starts: Tensor
  /// int32: column and number of each that has no code, row by row.
  let exceptions: Tensor
  /// The upper bytes that have a code.
  let upper: SIMD16<UInt8>

  /// The matrix `w`; nil where it is not of bfloat16, or where products with it would not be faster: on processors and devices without
  /// kernels for it, with rows of other than a multiple of 128 elements, and where exponents are so far apart that little is saved.
  ///
  /// With `forManyRows` what counts is products with many rows, as in training, and not those with a few, as in decoding: they are no faster, but
  /// must not be slower by more than a few percent.
  public init?(_ w: Tensor, forManyRows: Bool = false) {
    guard w.shape.rank == 2, w.dtype == .bfloat16 else { return nil }
    let compressed = launch(w) {
      w.backend.compress(
        w.operand, rows: w.rowCount, columns: w.columnCount, forManyRows: forManyRows)
    }
    guard let compressed else { return nil }
    self = compressed
  }

  /// Puts the parts together.
  init(shape: Shape, groups: Tensor, starts: Tensor, exceptions: Tensor, upper: SIMD16<UInt8>) {
    (self.shape, self.groups, self.starts) = (shape, groups, starts)
    (self.exceptions, self.upper) = (exceptions, upper)
  }

  /// Bytes of all parts.
  public var byteCount: Int { groups.byteCount + starts.byteCount + exceptions.byteCount }

  /// What computes with it.
  package var backend: any Backend { groups.backend }

  /// The parts, for kernels that read them. Valid as long as this value is.
  package var operand: CompressedOperand {
    CompressedOperand(
      groups: groups.operand, starts: starts.operand, exceptions: exceptions.operand, upper: upper,
      columns: shape[1], count: shape.count)
  }

  /// The matrix itself, in `dtype`.
  public func decompressed(dtype: DType = .bfloat16) -> Tensor {
    PackedWeight.compressed(self).unpacked(rows: 0..<shape[0], dtype: dtype)
  }

  /// One of the same sizes without contents.
  func outline(on backend: SizingBackend) -> CompressedTensor {
    func part(_ tensor: Tensor) -> Tensor { backend.tensor(tensor.shape, tensor.dtype) }
    return CompressedTensor(
      shape: shape, groups: part(groups), starts: part(starts), exceptions: part(exceptions),
      upper: upper)
  }
}
