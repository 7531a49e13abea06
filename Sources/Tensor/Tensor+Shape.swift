// Views and copies that change the shape. Windows of rows and reshapes share storage; transposes copy.

extension Tensor {
  /// The same elements under another shape; traps when the counts differ.
  public func reshaped(_ newShape: Shape) -> Tensor {
    precondition(
      newShape.count == count,
      "reshaped: \(shape) has \(count) elements, \(newShape) has \(newShape.count)")
    var result = self
    result.shape = newShape
    return result
  }

  /// Rows `range` of the first axis, sharing storage.
  public func rows(_ range: Range<Int>) -> Tensor {
    precondition(
      shape.rank > 0 && range.lowerBound >= 0 && range.upperBound <= shape[0],
      "rows: \(range) of shape \(shape)")
    var result = self
    result.elementOffset += range.lowerBound * (shape[0] == 0 ? 0 : count / shape[0])
    result.shape = shape.replacingFirst(with: range.count)
    return result
  }

  /// The axes in the order `axes`, copied.
  public func permuted(_ axes: [Int]) -> Tensor {
    precondition(
      axes.sorted() == Array(0..<shape.rank), "permuted: \(axes) of a rank-\(shape.rank) shape")
    let strides = shape.strides
    let y = Tensor(uninitialized: Shape(axes.map { shape[$0] }), dtype, backend: backend)
    launch(self, y) {
      backend.copyStrided(
        operand, extents: y.shape.dimensions, strides: axes.map { strides[$0] },
        into: y.destination)
    }
    return y
  }

  /// The transpose [C, N] of a matrix [N, C], copied.
  public func transposed() -> Tensor { permuted([1, 0]) }

  /// The same values in another element type.
  public func cast(to dtype: DType) -> Tensor {
    if dtype == self.dtype { return self }
    let y = Tensor(uninitialized: shape, dtype, backend: backend)
    launch(self, y) { backend.cast(operand, into: y.destination) }
    return y
  }

  /// A copy with storage of its own.
  public func copied() -> Tensor {
    let y = Tensor(uninitialized: shape, dtype, backend: backend)
    launch(self, y) { backend.cast(operand, into: y.destination) }
    return y
  }

  /// The same values on another device.
  public func moved(to device: Device) throws(DeviceError) -> Tensor {
    if device.backend === backend { return self }
    var bytes = [UInt8](repeating: 0, count: byteCount)
    var failure: DeviceError?
    unsafe bytes.withUnsafeMutableBytes { target in
      do throws(DeviceError) {
        try backend.copyOut(
          storage.buffer, byteOffset: elementOffset * dtype.byteWidth, into: target)
      } catch { failure = error }
    }
    if let failure { throw failure }
    let y = Tensor(uninitialized: shape, dtype, backend: device.backend)
    unsafe bytes.withUnsafeBytes { device.backend.copyIn($0, to: y.storage.buffer, byteOffset: 0) }
    return y
  }

  /// Writes `source` [n, …] over the rows from `row` on; in place when nobody else holds the storage.
  package mutating func replaceRows(from row: Int, with source: Tensor) {
    let width = shape[0] == 0 ? 0 : count / shape[0]
    precondition(
      source.dtype == dtype && source.count == source.shape[0] * width && row >= 0
        && row + source.shape[0] <= shape[0],
      "replaceRows: \(source.shape) at row \(row) of \(shape)")
    makeUnique()
    launch(source, self) {
      backend.cast(source.operand, into: destination.slice(row * width, source.count))
    }
  }

  /// The concatenation of tensors [n_i, …] along the first axis.
  package static func concatenatedRows(_ parts: [Tensor]) -> Tensor {
    precondition(!parts.isEmpty, "concatenatedRows: nothing to concatenate")
    let rows = parts.reduce(0) { $0 + $1.shape[0] }
    var y = Tensor(
      uninitialized: parts[0].shape.replacingFirst(with: rows), parts[0].dtype,
      backend: parts[0].backend)
    var row = 0
    for part in parts {
      y.replaceRows(from: row, with: part)
      row += part.shape[0]
    }
    return y
  }
}
