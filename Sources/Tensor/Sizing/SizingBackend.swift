// The processor's memory without the processor's work: tensors of this backend have sizes and no contents. The program
// runs on it as on the real one, so what a run will need is counted and not guessed.

import Synchronization

/// A backend that computes nothing and counts what the processor's pool would hold.
///
/// Sizes are those of the CPU backend on this machine, scratch memory of its own kernels included (that of libraries is a part
/// of ``MemoryPlan``). Reading a tensor gives
/// arbitrary finite numbers; those of one float32 element are 1.
package final class SizingBackend: Backend {
  package let name = "cpu"
  let pool: BufferPool
  private let source = CountedMemory()
  /// What is to compute: it says how much of the logits exists at a time.
  let counted: any Backend

  /// A backend on which nothing has been made yet, for work that `counted` is to do.
  package init(for counted: any Backend = CPUBackend.shared) {
    self.counted = counted
    pool = BufferPool(source: source)
  }

  /// The device of this backend.
  package var device: Device { Device(backend: self, preferredComputeDType: .float32) }

  /// Bytes of the pool that have been written to: those that are resident.
  package var residentByteCount: Int { source.touched.now }
  /// The largest value that `residentByteCount` has had.
  package var peakResidentByteCount: Int { source.touched.peak }

  /// A tensor in memory of its own.
  package func tensor(_ shape: Shape, _ dtype: DType) -> Tensor {
    Tensor(uninitialized: shape, dtype, backend: self)
  }

  /// Counts `byteCounts` as in use together for the length of a kernel.
  func scratch(_ byteCounts: Int...) { scratch(byteCounts) }

  /// The same.
  func scratch(_ byteCounts: [Int]) {
    let buffers = byteCounts.filter { $0 > 0 }.map { allocate(byteCount: $0) }
    for buffer in buffers { release(buffer) }
  }
}

extension SizingBackend: MemoryKernels {
  package func allocate(byteCount: Int) -> Buffer {
    let buffer = pool.allocate(byteCount: byteCount)
    source.touch(buffer, byteCount: byteCount)
    return buffer
  }

  package func release(_ buffer: Buffer) { pool.release(buffer) }

  package func borrow(_ bytes: UnsafeRawBufferPointer) -> Buffer? {
    Buffer(address: UInt(bitPattern: bytes.baseAddress), byteCount: bytes.count)
  }

  package func copyIn(_ bytes: UnsafeRawBufferPointer, to buffer: Buffer, byteOffset: Int) {}

  package func copyOut(
    _ buffer: Buffer, byteOffset: Int, into bytes: UnsafeMutableRawBufferPointer
  ) throws(DeviceError) {
    let one: [UInt8] = [0, 0, 0x80, 0x3F]
    for index in bytes.indices { bytes[index] = one[index & 3] }
  }

  package func copyStrided(_ x: Operand, extents: [Int], strides: [Int], into y: Destination) {}

  package func cast(_ x: Operand, into y: Destination) {}

  package func fill(_ y: Destination, with value: Double) {}

  package func synchronize() throws(DeviceError) {}

  package var memory: MemoryStatistics { pool.statistics }

  package var freeByteCount: Int? { nil }

  package func resetPeakMemory() { pool.resetPeak() }

  package func limitMemory(to byteCount: Int?) { pool.limit(to: byteCount) }
}

/// Addresses without memory behind them, and how much of it would be resident: pages come with the first write.
private final class CountedMemory: MemorySource {
  private struct State {
    var next: UInt = 1 << 21
    var touched: [UInt: Int] = [:]
    var now = 0
    var peak = 0
  }
  private let state = Mutex(State())

  /// Bytes written to, now and at most.
  var touched: (now: Int, peak: Int) { state.withLock { ($0.now, $0.peak) } }

  func sizeClass(_ byteCount: Int) -> Int { BufferPool.sizeClass(byteCount) }

  func take(_ byteCount: Int) -> UInt? {
    state.withLock { state in
      let address = state.next
      state.next += UInt((byteCount + 63) / 64 * 64)
      state.touched[address] = 0
      return address
    }
  }

  func give(_ address: UInt, byteCount: Int) {
    state.withLock { $0.now -= $0.touched.removeValue(forKey: address) ?? 0 }
  }

  /// Counts the first `byteCount` bytes of `buffer` as written.
  func touch(_ buffer: Buffer, byteCount: Int) {
    let hugePage = BufferPool.hugePageSize
    var end = byteCount
    // Whole huge pages come at once.
    if buffer.byteCount >= BufferPool.largeSize {
      let rounded = (byteCount + hugePage - 1) / hugePage * hugePage
      if rounded <= buffer.byteCount { end = rounded }
    }
    state.withLock { state in
      let before = state.touched[buffer.address] ?? 0
      guard end > before else { return }
      state.touched[buffer.address] = end
      state.now += end - before
      state.peak = max(state.peak, state.now)
    }
  }
}
