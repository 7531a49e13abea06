// Reading tensors back: the sync points, the only places where a device failure surfaces.

extension Tensor {
  /// The elements as a host array, in row-major order; traps when `Scalar` is not the element type.
  public func array<Scalar: TensorScalar>(of type: Scalar.Type) throws(DeviceError) -> [Scalar] {
    precondition(
      dtype == Scalar.dtype, "array: elements are \(dtype.rawValue), not \(Scalar.dtype.rawValue)")
    guard count > 0 else { return [] }
    var failure: DeviceError?
    let (buffer, byteOffset, backend) = (
      storage.buffer, elementOffset * dtype.byteWidth, storage.backend
    )
    let count = count
    let values = unsafe [Scalar](unsafeUninitializedCapacity: count) { pointer, initialized in
      do throws(DeviceError) {
        try backend.copyOut(
          buffer, byteOffset: byteOffset,
          into: UnsafeMutableRawBufferPointer(
            start: pointer.baseAddress, count: count * MemoryLayout<Scalar>.stride))
      } catch {
        failure = error
      }
      initialized = failure == nil ? count : 0
    }
    withExtendedLifetime(storage) {}
    if let failure { throw failure }
    return values
  }

  /// The bytes of the elements, in row-major order.
  package func bytes() throws(DeviceError) -> [UInt8] {
    var failure: DeviceError?
    let (storage, count, byteOffset) = (storage, byteCount, elementOffset * dtype.byteWidth)
    let bytes = [UInt8](unsafeUninitializedCapacity: count) { pointer, initialized in
      do throws(DeviceError) {
        try storage.backend.copyOut(
          storage.buffer, byteOffset: byteOffset,
          into: UnsafeMutableRawBufferPointer(start: pointer.baseAddress, count: count))
      } catch { failure = error }
      initialized = failure == nil ? count : 0
    }
    if let failure { throw failure }
    return bytes
  }

  /// The only element of a one-element float tensor, as Double.
  public func item() throws(DeviceError) -> Double {
    precondition(count == 1, "item: shape \(shape) has \(count) elements")
    return try doubles()[0]
  }

  /// The elements of a tensor of any type as Doubles.
  public func doubles() throws(DeviceError) -> [Double] {
    switch dtype {
    case .float32: try array(of: Float.self).map { Double($0) }
    case .float64: try array(of: Double.self)
    case .bfloat16: try array(of: BFloat16.self).map { Double($0.float) }
    case .float16: try array(of: Half.self).map { Double($0.float) }
    case .int32: try array(of: Int32.self).map { Double($0) }
    case .uint8: try array(of: UInt8.self).map { Double($0) }
    }
  }
}
