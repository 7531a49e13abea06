// The way of host memory to the device: through page-locked memory of our own, so that a caller may free its bytes at once.

import Synchronization
import Tensor

/// Two halves of page-locked memory that are filled in turn. A copy from other memory may still read it after the call has
/// returned; one from here may too, and a half is written again only when its copies are through.
///
/// Safety: what changes is behind a lock; the driver's functions may be called from any thread.
final class StagingRing: @unchecked Sendable {
  /// Bytes of a half.
  private static let byteCount = 16 << 20

  /// A half: the address of its memory, and the handle of the event that follows the last copy from it.
  private struct Half {
    let memory, event: UInt
    /// Whether the event was recorded, so that there is something to wait for.
    var isInFlight = false
  }

  /// The halves, which one is being filled and how far.
  private struct State {
    /// Empty before the first copy, and where there is no page-locked memory.
    var halves: [Half] = []
    var hasStarted = false
    var (current, offset) = (0, 0)
  }

  private let context: CUDAContext
  private let state = Mutex(State())

  init(_ context: CUDAContext) { self.context = context }

  deinit {
    state.withLock { state in
      guard !state.halves.isEmpty else { return }
      context.makeCurrent()
      _ = context.driver.synchronizeStream(context.stream)
      for half in state.halves { free(half) }
    }
  }

  /// Queues a copy to the device's memory. The bytes have been read when this returns; what fails is kept.
  func copy(_ bytes: UnsafeRawBufferPointer, to address: UInt) {
    state.withLock { state in
      if !state.hasStarted { start(&state) }
      if state.halves.isEmpty {
        // Without memory of our own the copy is waited for.
        if let source = bytes.baseAddress, copy(source, to: address, bytes.count) {
          context.check(
            context.driver.synchronizeStream(context.stream), "cuStreamSynchronize (of a copy)")
        }
        return
      }
      var done = 0
      while done < bytes.count {
        if state.offset == Self.byteCount, !turn(&state) { return }
        let count = min(bytes.count - done, Self.byteCount - state.offset)
        let start = state.halves[state.current].memory + UInt(state.offset)
        guard let staged = UnsafeMutableRawPointer(bitPattern: start) else { return }
        UnsafeMutableRawBufferPointer(start: staged, count: count).copyMemory(
          from: UnsafeRawBufferPointer(rebasing: bytes[done..<done + count]))
        guard copy(staged, to: address + UInt(done), count) else { return }
        done += count
        // The next copy begins where the bus is fastest.
        state.offset = min((state.offset + count + 255) & ~255, Self.byteCount)
      }
    }
  }

  /// Goes on to the other half, once the copies from it are through; false, and the error kept, where that fails.
  private func turn(_ state: inout State) -> Bool {
    let driver = context.driver
    guard
      context.check(
        driver.recordEvent(event(state), context.stream), "cuEventRecord")
    else { return false }
    state.halves[state.current].isInFlight = true
    state.current = 1 - state.current
    state.offset = 0
    guard state.halves[state.current].isInFlight else { return true }
    state.halves[state.current].isInFlight = false
    return context.check(
      driver.synchronizeEvent(event(state)),
      "cuEventSynchronize (of copies to the device)")
  }

  private func event(_ state: State) -> Driver.Handle? {
    UnsafeMutableRawPointer(bitPattern: state.halves[state.current].event)
  }

  private func copy(_ source: UnsafeRawPointer, to address: UInt, _ byteCount: Int) -> Bool {
    context.check(
      context.driver.copyIn(UInt64(address), source, byteCount, context.stream),
      "cuMemcpyHtoDAsync(\(byteCount) bytes)")
  }

  /// Takes the memory; leaves no half where the system gives none.
  private func start(_ state: inout State) {
    state.hasStarted = true
    let driver = context.driver
    for _ in 0..<2 {
      var memory: UnsafeMutableRawPointer?
      var event: Driver.Handle?
      // 0: for this context. 2: an event without a time.
      if driver.allocateHost(&memory, Self.byteCount, 0) == 0, let memory {
        if driver.createEvent(&event, 2) == 0 {
          state.halves.append(
            Half(memory: UInt(bitPattern: memory), event: UInt(bitPattern: event)))
          continue
        }
        _ = driver.freeHost(memory)
      }
      for half in state.halves { free(half) }
      state.halves = []
      return
    }
  }

  private func free(_ half: Half) {
    _ = context.driver.destroyEvent(UnsafeMutableRawPointer(bitPattern: half.event))
    _ = context.driver.freeHost(UnsafeMutableRawPointer(bitPattern: half.memory))
  }
}
