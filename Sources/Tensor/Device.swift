// Where tensors live. A device has a name, a backend and a preferred compute type, and no kind: code that wants to
// ask "is this a CPU?" has found a missing backend requirement.

/// A place for tensors and their arithmetic.
public struct Device: Sendable, CustomStringConvertible {
  /// "cpu", "cuda:0".
  public let name: String
  /// The element type in which models compute here unless told otherwise.
  public let preferredComputeDType: DType
  /// What does the work.
  package let backend: any Backend

  /// Wraps a backend.
  package init(backend: any Backend, preferredComputeDType: DType) {
    name = backend.name
    self.backend = backend
    self.preferredComputeDType = preferredComputeDType
  }

  /// The processor of this machine.
  public static let cpu = Device(backend: CPUBackend.shared, preferredComputeDType: .float32)

  /// Pool figures: live and peak bytes, bytes reserved, pool misses.
  public var memory: MemoryStatistics { backend.memory }

  /// Bytes of its own memory that are free; nil where it computes in that of the machine, or does not say.
  package var freeByteCount: Int? { backend.freeByteCount }

  /// Makes the current live bytes the new peak.
  public func resetPeakMemory() { backend.resetPeakMemory() }

  /// Gives waiting memory back where more than `byteCount` bytes would be held otherwise, from now on.
  package func limitMemory(to byteCount: Int) { backend.limitMemory(to: byteCount) }

  /// Waits until all work is done and reports failures.
  public func synchronize() throws(DeviceError) { try backend.synchronize() }

  public var description: String { name }
}
