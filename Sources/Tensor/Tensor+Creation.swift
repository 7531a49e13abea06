// Making tensors: constants, host arrays, random numbers.

extension Tensor {
  /// All elements equal `value`.
  public static func full(
    _ shape: Shape, _ value: Double, dtype: DType = .float32, on device: Device = .cpu
  ) -> Tensor {
    let tensor = Tensor(uninitialized: shape, dtype, backend: device.backend)
    launch(tensor) { device.backend.fill(tensor.destination, with: value) }
    return tensor
  }

  /// All elements 0.
  public static func zeros(_ shape: Shape, dtype: DType = .float32, on device: Device = .cpu)
    -> Tensor
  { full(shape, 0, dtype: dtype, on: device) }

  /// All elements 1.
  public static func ones(_ shape: Shape, dtype: DType = .float32, on device: Device = .cpu)
    -> Tensor
  { full(shape, 1, dtype: dtype, on: device) }

  /// The elements of a host array in row-major order; traps when their number is not that of the shape.
  public init<Scalar: TensorScalar>(_ values: [Scalar], shape: Shape, on device: Device = .cpu) {
    precondition(
      values.count == shape.count, "tensor: \(values.count) values for shape \(shape)")
    self.init(uninitialized: shape, Scalar.dtype, backend: device.backend)
    let buffer = storage.buffer
    unsafe values.withUnsafeBytes { device.backend.copyIn($0, to: buffer, byteOffset: 0) }
  }

  /// A vector of a host array.
  public init<Scalar: TensorScalar>(_ values: [Scalar], on device: Device = .cpu) {
    self.init(values, shape: [values.count], on: device)
  }

  /// Elements that lie in host memory kept alive by `owner`: used in place where the device can read them there
  /// and they are aligned, else copied.
  package init(
    hostBytes bytes: UnsafeRawBufferPointer, shape: Shape, dtype: DType,
    owner: any Sendable & AnyObject, on device: Device
  ) {
    precondition(
      bytes.count == shape.count * dtype.byteWidth, "tensor: \(bytes.count) bytes for \(shape)")
    if UInt(bitPattern: bytes.baseAddress) % UInt(dtype.byteWidth) == 0, bytes.count > 0,
      let buffer = device.backend.borrow(bytes)
    {
      self.init(
        storage: Storage(borrowing: buffer, owner: owner, backend: device.backend), shape: shape,
        dtype: dtype)
    } else {
      self.init(uninitialized: shape, dtype, backend: device.backend)
      device.backend.copyIn(bytes, to: storage.buffer, byteOffset: 0)
    }
  }

  /// Zeros of the same shape and device.
  package func zerosLike(dtype: DType? = nil) -> Tensor {
    let tensor = Tensor(uninitialized: shape, dtype ?? self.dtype, backend: backend)
    launch(tensor) { backend.fill(tensor.destination, with: 0) }
    return tensor
  }

  /// All elements of a value, on the device of another tensor.
  package static func full(_ shape: Shape, _ value: Double, dtype: DType, like other: Tensor)
    -> Tensor
  {
    let tensor = Tensor(uninitialized: shape, dtype, backend: other.backend)
    launch(tensor) { other.backend.fill(tensor.destination, with: value) }
    return tensor
  }

  /// Zeros of a shape, with the type and device of another tensor.
  package static func zeros(_ shape: Shape, like other: Tensor) -> Tensor {
    let tensor = Tensor(uninitialized: shape, other.dtype, backend: other.backend)
    launch(tensor) { other.backend.fill(tensor.destination, with: 0) }
    return tensor
  }

  /// Ones with the shape, type and device of another tensor.
  package static func ones(like other: Tensor) -> Tensor {
    let tensor = Tensor(uninitialized: other.shape, other.dtype, backend: other.backend)
    launch(tensor) { other.backend.fill(tensor.destination, with: 1) }
    return tensor
  }

  /// Uniform numbers in [low, high).
  public static func uniform(
    _ shape: Shape, low: Double = 0, high: Double = 1, dtype: DType = .float32,
    stream: RandomStream, on device: Device = .cpu
  ) -> Tensor {
    let tensor = Tensor(uninitialized: shape, dtype, backend: device.backend)
    launch(tensor) {
      device.backend.random(tensor.destination, .uniform(low: low, high: high), stream: stream)
    }
    return tensor
  }

  /// Uniform numbers in [low, high), with the shape, type and device of another tensor.
  package static func uniform(
    like other: Tensor, low: Double, high: Double, stream: RandomStream
  ) -> Tensor {
    let tensor = Tensor(uninitialized: other.shape, other.dtype, backend: other.backend)
    launch(tensor) {
      other.backend.random(tensor.destination, .uniform(low: low, high: high), stream: stream)
    }
    return tensor
  }

  /// Normal numbers.
  public static func normal(
    _ shape: Shape, mean: Double = 0, standardDeviation: Double = 1, dtype: DType = .float32,
    stream: RandomStream, on device: Device = .cpu
  ) -> Tensor {
    let tensor = Tensor(uninitialized: shape, dtype, backend: device.backend)
    launch(tensor) {
      device.backend.random(
        tensor.destination, .normal(mean: mean, standardDeviation: standardDeviation),
        stream: stream)
    }
    return tensor
  }
}
