// Weights of products, unpacked beside the stream: while the device multiplies by one, the next is unpacked. The host is ahead of
// the device, so that nobody has to say which weight comes next.

import Synchronization
import Tensor

/// Two pieces of memory that take turns: a weight is unpacked into one on a stream of its own, which waits until the product that
/// used it before has been computed, and the main stream waits until it is filled.
///
/// Safety: what changes is behind locks; the driver's functions may be called from any thread.
final class UnpackedWeights: @unchecked Sendable {
  /// A piece, and the handles of two events: it is filled, and the product that reads it is done.
  private struct Lane {
    let filled, used: UInt
    var buffer: Buffer?
    /// Whether a product has used this memory, so that there is something to wait for.
    var isUsed = false
  }

  private struct State {
    /// Empty before the first weight.
    var lanes: [Lane] = []
    var next = 0
    /// The writes up to which the second stream has waited for the main one.
    var writes = -1
  }

  private let context: CUDAContext
  private let state = Mutex(State())
  /// Addresses of packed weights that the second stream can read as they are: it has waited for the main stream since they were written.
  private let visible: Mutex<Set<UInt>>

  /// No memory yet. `visible` are weights that were written before all that this will be used for.
  init(_ context: CUDAContext, visible: Set<UInt> = []) {
    self.context = context
    self.visible = Mutex(visible)
  }

  deinit {
    context.makeCurrent()
    state.withLock { state in
      for lane in state.lanes {
        for event in [lane.filled, lane.used] { _ = context.driver.destroyEvent(handle(event)) }
      }
    }
  }

  /// The weights that are known to be written.
  var visibleWeights: Set<UInt> { visible.withLock { $0 } }

  /// Memory at `address` is given back: what lies there next is another weight.
  func forget(_ address: UInt) { visible.withLock { _ = $0.remove(address) } }

  /// Gives the pieces back; false where there are none, or where they are in use.
  @discardableResult
  func releaseMemory(to backend: CUDABackend) -> Bool {
    state.withLockIfAvailable { state in
      var hasReleased = false
      for index in state.lanes.indices {
        guard let buffer = state.lanes[index].buffer else { continue }
        state.lanes[index].buffer = nil
        state.lanes[index].isUsed = false
        backend.release(buffer)
        hasReleased = true
      }
      return hasReleased
    } ?? false
  }

  /// Unpacks `count` elements of the weight at `address` by the work that `fill` queues on the stream it is given, then queues
  /// `multiply` on the main stream. What fails is kept.
  func unpack(
    _ dtype: DType, _ count: Int, of address: UInt, by backend: CUDABackend,
    fill: (Destination, Driver.Handle?) -> Void, multiply: (Operand) -> Void
  ) {
    state.withLock { state in
      guard !context.hasFailed, start(&state) else { return }
      let index = state.next
      state.next = 1 - index
      guard let buffer = room(for: count * dtype.byteWidth, in: &state.lanes[index], backend) else {
        return
      }
      let (filled, used) = (handle(state.lanes[index].filled), handle(state.lanes[index].used))
      let writes = backend.writeCount
      let isVisible = visible.withLock { !$0.insert(address).inserted }
      if !state.lanes[index].isUsed || state.writes != writes || !isVisible {
        // All that the main stream has been given so far comes first.
        record(used, on: context.stream)
        state.writes = writes
      }
      wait(for: used, on: context.unpackingStream)
      let target = Destination(address: buffer.address, dtype: dtype, count: count)
      fill(target, context.unpackingStream)
      record(filled, on: context.unpackingStream)
      wait(for: filled, on: context.stream)
      multiply(target.operand)
      record(used, on: context.stream)
      state.lanes[index].isUsed = true
    }
  }

  /// The memory of a piece, made longer where it has to be; nil, and the error kept, where there is none.
  private func room(for byteCount: Int, in lane: inout Lane, _ backend: CUDABackend) -> Buffer? {
    if let buffer = lane.buffer {
      if buffer.byteCount >= byteCount { return buffer }
      backend.release(buffer)
      lane.buffer = nil
    }
    lane.buffer = backend.memoryForUnpacking(byteCount)
    // Others may have used this memory just now.
    lane.isUsed = false
    return lane.buffer
  }

  /// Makes the events; false, and the error kept, where that fails.
  private func start(_ state: inout State) -> Bool {
    context.makeCurrent()
    while state.lanes.count < 2 {
      var events: [Driver.Handle?] = [nil, nil]
      for index in events.indices {
        // 2: an event without a time.
        guard context.check(context.driver.createEvent(&events[index], 2), "cuEventCreate") else {
          for event in events where event != nil { _ = context.driver.destroyEvent(event) }
          return false
        }
      }
      state.lanes.append(
        Lane(filled: UInt(bitPattern: events[0]), used: UInt(bitPattern: events[1])))
    }
    return true
  }

  private func record(_ event: Driver.Handle?, on stream: Driver.Handle?) {
    context.check(context.driver.recordEvent(event, stream), "cuEventRecord")
  }

  private func wait(for event: Driver.Handle?, on stream: Driver.Handle?) {
    context.check(context.driver.waitForEvent(stream, event, 0), "cuStreamWaitEvent")
  }

  private func handle(_ bits: UInt) -> Driver.Handle? { UnsafeMutableRawPointer(bitPattern: bits) }
}
