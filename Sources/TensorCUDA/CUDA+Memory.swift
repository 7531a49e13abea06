// Copies, conversions and fills.

package import Tensor

extension CUDABackend: MemoryKernels {
  package func allocate(byteCount: Int) -> Buffer {
    let unpacking = recording?.unpackedWeights ?? unpackedWeights
    if let buffer = buffer(byteCount, releasing: { unpacking.releaseMemory(to: self) }) {
      return buffer
    }
    // Nothing is queued after a failure, so nobody follows this address.
    return Buffer(address: 0, byteCount: byteCount)
  }

  /// Memory in which weights are unpacked, if need be such as `others` give back, whose result is whether they did; nil, and the
  /// error kept, where there is none.
  func memoryForUnpacking(_ byteCount: Int, releasing others: () -> Bool) -> Buffer? {
    buffer(byteCount, releasing: others)
  }

  /// Memory as ``memoryForUnpacking(_:releasing:)`` gives it.
  private func buffer(_ byteCount: Int, releasing others: () -> Bool) -> Buffer? {
    if let recording {
      if let buffer = recording.buffer(byteCount) { return buffer }
      if others(), let buffer = recording.buffer(byteCount) { return buffer }
    } else {
      if let buffer = pool.buffer(byteCount: byteCount) {
        keepToLimit()
        return buffer
      }
      if others(), let buffer = pool.buffer(byteCount: byteCount) { return buffer }
      // What recordings hold can be had again.
      if recordedMemory.reclaim(), let buffer = pool.buffer(byteCount: byteCount) { return buffer }
    }
    let memory = pool.statistics
    context.fail(
      .failed(
        call: "cuMemAllocAsync",
        detail:
          "out of memory: no \(byteCount) bytes are left on \(context.model) beside \(memory.liveByteCount) in use; a smaller batch, shorter rows or checkpointing need less"
      ))
    return nil
  }

  /// Gives the memory of recordings back where it and that of work that runs are more than the limit.
  private func keepToLimit() {
    let recorded = recordedMemory.byteCount
    if recorded > 0, let limit = recordedMemory.limit,
      pool.statistics.reservedByteCount + recorded > limit
    {
      _ = recordedMemory.reclaim()
    }
  }

  package func release(_ buffer: Buffer) {
    guard buffer.address != 0 else { return }
    unpackedWeights.forget(buffer.address)
    recording?.unpackedWeights.forget(buffer.address)
    (recordedMemory.owner(of: buffer) ?? pool).release(buffer)
  }

  package func borrow(_ bytes: UnsafeRawBufferPointer) -> Buffer? { nil }

  package func copyIn(_ bytes: UnsafeRawBufferPointer, to buffer: Buffer, byteOffset: Int) {
    precondition(
      byteOffset >= 0 && byteOffset + bytes.count <= buffer.byteCount, "copyIn: out of bounds")
    guard bytes.count > 0, !context.hasFailed else { return }
    if let recording { return recording.invalidate("a copy from the host") }
    context.makeCurrent()
    countWrite()
    staging.copy(bytes, to: buffer.address + UInt(byteOffset))
  }

  package func copyOut(
    _ buffer: Buffer, byteOffset: Int, into bytes: UnsafeMutableRawBufferPointer
  ) throws(DeviceError) {
    precondition(
      byteOffset >= 0 && byteOffset + bytes.count <= buffer.byteCount, "copyOut: out of bounds")
    try requireNoRecording("a copy to the host")
    try context.throwFailure()
    guard let target = bytes.baseAddress, bytes.count > 0 else { return }
    context.makeCurrent()
    context.check(
      context.driver.copyOut(
        target, UInt64(buffer.address) + UInt64(byteOffset), bytes.count, context.stream),
      "cuMemcpyDtoHAsync(\(bytes.count) bytes) (last kernel queued: \(lastKernelName))")
    context.synchronize(last: lastKernelName)
    try context.throwFailure()
  }

  package func copyStrided(_ x: Operand, extents: [Int], strides: [Int], into y: Destination) {
    precondition(extents.count <= 8, "copyStrided: \(extents.count) axes")
    var (lengths, steps) = (SIMD8<Int64>(repeating: 1), SIMD8<Int64>.zero)
    for (axis, (extent, stride)) in zip(extents.reversed(), strides.reversed()).enumerated() {
      lengths[axis] = Int64(extent)
      steps[axis] = Int64(stride)
    }
    launch(
      Kernel("memory", "copy_strided", Kernel.Suffix(width: x.dtype.byteWidth)),
      grid: blocks(y.count), x.pointer, y.pointer, Int64(y.count), Int32(extents.count), lengths,
      steps)
  }

  package func cast(_ x: Operand, into y: Destination) { cast(x, into: y, on: context.stream) }

  /// Converts on a stream.
  func cast(_ x: Operand, into y: Destination, on stream: Driver.Handle?) {
    precondition(x.count == y.count, "cast: \(x.count) elements into \(y.count)")
    guard x.count > 0, !context.hasFailed else { return }
    if x.dtype == y.dtype {
      context.makeCurrent()
      context.check(
        context.driver.copy(y.pointer, x.pointer, x.count * x.dtype.byteWidth, stream),
        "cuMemcpyDtoDAsync(\(x.count * x.dtype.byteWidth) bytes)")
      return
    }
    let isKnown =
      switch (x.dtype, y.dtype) {
      case (.int32, .float32), (.int32, .float64), (.uint8, .float32), (.uint8, .float64): true
      case (.uint8, .int32): true
      default: x.dtype.isFloatingPoint && y.dtype.isFloatingPoint && y.dtype != .float16
      }
    precondition(isKnown, "cast: no conversion from \(x.dtype.rawValue) to \(y.dtype.rawValue)")
    launch(
      Kernel("memory", "cast", x.dtype, y.dtype), grid: blocks(x.count, perThread: 4),
      on: stream, x.pointer, y.pointer, Int64(x.count))
  }

  package func fill(_ y: Destination, with value: Double) {
    let bits: UInt64 =
      switch y.dtype {
      case .float32: UInt64(Float(value).bitPattern)
      case .float64: value.bitPattern
      case .bfloat16: UInt64(BFloat16(Float(value)).bitPattern)
      case .float16: Self.zeroBits(value)
      case .int32: UInt64(UInt32(bitPattern: Int32(value)))
      case .uint8: UInt64(UInt8(value))
      }
    let grid = blocks(y.count, perThread: 4)
    launch(
      Kernel("memory", "fill", Kernel.Suffix(width: y.dtype.byteWidth)), grid: grid, bits,
      y.pointer, Int64(y.count))
  }

  /// Nothing computes in float16, so that zeros are all there is to fill it with.
  private static func zeroBits(_ value: Double) -> UInt64 {
    precondition(value == 0, "fill: \(value) in float16")
    return 0
  }

  package func synchronize() throws(DeviceError) {
    try requireNoRecording("a wait")
    try context.throwFailure()
    context.makeCurrent()
    context.synchronize(last: lastKernelName)
    try context.throwFailure()
  }

  package var memory: MemoryStatistics {
    var statistics = pool.statistics
    // What recordings hold is in use as long as they are there.
    let recorded = recordedMemory.byteCount
    statistics.missCount += recordedMemory.missCount
    statistics.liveByteCount += recorded
    statistics.reservedByteCount += recorded
    statistics.peakByteCount = max(
      statistics.peakByteCount, statistics.liveByteCount, recordedMemory.peakByteCount)
    // Two weights in the widest type that models compute in, and rows that are joined; the workspace is there whether cuBLASLt is or not.
    statistics.kernelByteCount =
      8 * Self.tileElementCount + Self.joinedByteCount + MatrixProductPlans.workspaceByteCount
    return statistics
  }

  package var freeByteCount: Int? { context.freeByteCount }

  package func resetPeakMemory() {
    pool.resetPeak()
    recordedMemory.resetPeak()
  }

  package func limitMemory(to byteCount: Int?) {
    // They are counted among what kernels take.
    unpackedWeights.releaseMemory(to: self)
    recordedMemory.setLimit(byteCount)
    limitPool()
    // What was freed is the driver's pool's until it gives it back, and is not free for it.
    if recording == nil, !context.hasFailed {
      context.makeCurrent()
      context.synchronize(last: lastKernelName)
      context.trim()
    }
  }

  /// Limits the pool to what recordings leave of the limit.
  func limitPool() {
    pool.limit(to: recordedMemory.limit.map { max(0, $0 - recordedMemory.byteCount) })
  }
}
