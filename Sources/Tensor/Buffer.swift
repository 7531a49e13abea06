// Plain values that cross the backend boundary: passing them costs no reference counting.

/// A run of bytes that a backend owns. On a CPU `address` is a pointer, on a GPU a device pointer.
package struct Buffer: Sendable, Equatable {
  /// First byte, as the backend counts addresses.
  package let address: UInt
  /// Number of bytes.
  package let byteCount: Int

  /// A run of `byteCount` bytes from `address` on.
  package init(address: UInt, byteCount: Int) {
    self.address = address
    self.byteCount = byteCount
  }
}

/// Dense elements that a kernel reads.
package struct Operand: Sendable {
  /// First byte, as the backend counts addresses.
  package let address: UInt
  /// Element type.
  package let dtype: DType
  /// Number of elements.
  package let count: Int

  /// `count` elements from `address` on.
  package init(address: UInt, dtype: DType, count: Int) {
    self.address = address
    self.dtype = dtype
    self.count = count
  }

  /// The operand that starts `offset` elements further on and holds `count` of them.
  package func slice(_ offset: Int, _ count: Int) -> Operand {
    Operand(address: address + UInt(offset * dtype.byteWidth), dtype: dtype, count: count)
  }
}

/// Dense elements that a kernel writes (or updates in place, where its documentation says so).
package struct Destination: Sendable {
  /// First byte, as the backend counts addresses.
  package let address: UInt
  /// Element type.
  package let dtype: DType
  /// Number of elements.
  package let count: Int

  /// `count` elements from `address` on.
  package init(address: UInt, dtype: DType, count: Int) {
    self.address = address
    self.dtype = dtype
    self.count = count
  }

  /// The same elements, for reading.
  package var operand: Operand { Operand(address: address, dtype: dtype, count: count) }

  /// The destination that starts `offset` elements further on and holds `count` of them.
  package func slice(_ offset: Int, _ count: Int) -> Destination {
    Destination(address: address + UInt(offset * dtype.byteWidth), dtype: dtype, count: count)
  }
}
