// The value type. A tensor is dense and row-major: a window of a storage, a shape and an element type.
// It is immutable but for mutating methods, which write in place when nobody else holds the storage.

/// A dense, row-major array of numbers on a device.
///
/// Copies share storage; a mutating method copies first when the storage is shared.
public struct Tensor: Sendable {
  /// The one reference a tensor holds.
  package internal(set) var storage: Storage
  /// First element of the window, in elements.
  package internal(set) var elementOffset: Int
  /// Extents, outermost first.
  public internal(set) var shape: Shape
  /// Element type.
  public let dtype: DType

  /// The window of `shape` that begins at `elementOffset` in `storage`.
  package init(storage: Storage, elementOffset: Int = 0, shape: Shape, dtype: DType) {
    self.storage = storage
    self.elementOffset = elementOffset
    self.shape = shape
    self.dtype = dtype
  }

  /// A tensor with arbitrary contents, to be filled by a kernel at once.
  package init(uninitialized shape: Shape, _ dtype: DType, backend: any Backend) {
    self.init(
      storage: Storage(byteCount: shape.count * dtype.byteWidth, backend: backend), shape: shape,
      dtype: dtype)
  }

  /// Number of elements.
  public var count: Int { shape.count }
  /// Bytes of the elements.
  public var byteCount: Int { count * dtype.byteWidth }
  /// Rows N of a [.., C] tensor.
  public var rowCount: Int { shape.rowCount }
  /// Columns C of a [.., C] tensor.
  public var columnCount: Int { shape.columnCount }
  /// Where the tensor lives.
  public var deviceName: String { storage.backend.name }

  /// What computes with it.
  package var backend: any Backend { storage.backend }

  /// The elements, for kernels that read them.
  package var operand: Operand {
    Operand(
      address: storage.buffer.address + UInt(elementOffset * dtype.byteWidth), dtype: dtype,
      count: count)
  }

  /// For kernels that fill a tensor made just now, or after `makeUnique()`.
  package var destination: Destination {
    Destination(
      address: storage.buffer.address + UInt(elementOffset * dtype.byteWidth), dtype: dtype,
      count: count)
  }

  /// Ensures that this value alone holds its (writable) storage, copying if necessary.
  package mutating func makeUnique() {
    if isKnownUniquelyReferenced(&storage) && storage.isWritable { return }
    let copy = Tensor(uninitialized: shape, dtype, backend: backend)
    backend.cast(operand, into: copy.destination)
    withExtendedLifetime(storage) {}
    self = copy
  }
}

/// Runs `body` and keeps the tensors alive until it has returned.
///
/// An `Operand` is only an address, and Swift may release a tensor after its last use, which without this is before
/// the kernel that reads it. Every kernel launch goes through here.
@inline(__always)
package func launch<each T, Result>(_ tensors: repeat each T, body: () -> Result) -> Result {
  let result = body()
  repeat withExtendedLifetime(each tensors) {}
  return result
}

/// The backend of two tensors; traps when they live on different devices.
@inline(__always)
package func commonBackend(_ a: Tensor, _ b: Tensor, _ operation: StaticString) -> any Backend {
  precondition(
    a.storage.backend === b.storage.backend,
    "\(operation): operands live on \(a.deviceName) and \(b.deviceName)")
  return a.storage.backend
}
