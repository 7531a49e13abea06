// Weights of products, unpacked beside the stream: while the device multiplies by one, the next is unpacked. The host is ahead of
// the device, so that nobody has to say which weight comes next.

import Synchronization
import Tensor

/// Two pieces of memory that take turns: a weight is unpacked into one on a stream of its own, which waits until the product that
/// used it before has been computed, and the main stream waits until it is filled.
final class UnpackedWeights: Sendable {
  /// A piece, and the handles of two events: it is filled, and the product that reads it is done.
  private struct Piece {
    let filled, used: UInt
    var buffer: Buffer?
    /// Whether a product has used this memory, so that there is something to wait for.
    var isUsed = false
  }

  private struct State {
    /// Empty before the first weight.
    var pieces: [Piece] = []
    var next = 0
    /// The writes up to which the stream for weights has waited for the main one.
    var writes = -1
  }

  private let context: CUDAContext
  private let state = Mutex(State())
  /// Addresses of codes of 4 bits that the stream for weights can read as they are: it has waited for the main stream since they
  /// were written.
  private let visible: Mutex<Set<UInt>>

  /// No memory yet. `visible` are weights that were written before all that this will be used for.
  init(_ context: CUDAContext, visible: Set<UInt> = []) {
    self.context = context
    self.visible = Mutex(visible)
  }

  deinit {
    context.makeCurrent()
    state.withLock { state in
      for piece in state.pieces {
        for event in [piece.filled, piece.used] { _ = context.driver.destroyEvent(handle(event)) }
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
      state.pieces.indices.reduce(false) { release($1, of: &state, to: backend) || $0 }
    } ?? false
  }

  /// Unpacks `count` elements of a weight by the work that `fill` queues on the stream it is given, then queues `multiply` on the
  /// main stream. What fails is kept, and nothing is queued after it.
  ///
  /// `codes` is where the weight's codes lie, which nothing writes over but what counts as a write. Nil where anything may: such a
  /// weight is read after all that the main stream has been given so far.
  func unpack(
    _ dtype: DType, _ count: Int, codes: UInt?, by backend: CUDABackend,
    fill: (Destination, Driver.Handle?) -> Void, multiply: (Operand) -> Void
  ) {
    state.withLock { state in
      guard !context.hasFailed, start(&state) else { return }
      let index = state.next
      guard let buffer = memory(count * dtype.byteWidth, for: index, of: &state, backend) else {
        return
      }
      let (filled, used) = (handle(state.pieces[index].filled), handle(state.pieces[index].used))
      let writes = backend.writeCount
      let isVisible =
        state.writes == writes
        && codes.map { code in visible.withLock { $0.contains(code) } } == true
      if !state.pieces[index].isUsed || !isVisible {
        // All that the main stream has been given so far comes first.
        guard record(used, on: context.stream) else { return }
      }
      guard wait(for: used, on: context.unpackingStream) else { return }
      if !isVisible {
        state.writes = writes
        if let codes { visible.withLock { _ = $0.insert(codes) } }
      }
      let target = Destination(address: buffer.address, dtype: dtype, count: count)
      fill(target, context.unpackingStream)
      guard record(filled, on: context.unpackingStream), wait(for: filled, on: context.stream)
      else { return }
      multiply(target.operand)
      state.pieces[index].isUsed = record(used, on: context.stream)
      state.next = 1 - index
    }
  }

  /// The memory of a piece, made longer where it has to be, if need be at the cost of the other one; nil, and the error kept, where
  /// there is none.
  private func memory(
    _ byteCount: Int, for index: Int, of state: inout State, _ backend: CUDABackend
  ) -> Buffer? {
    if let buffer = state.pieces[index].buffer, buffer.byteCount >= byteCount { return buffer }
    release(index, of: &state, to: backend)
    // Others may have used what comes now just before: the piece counts as unused.
    state.pieces[index].buffer = backend.memoryForUnpacking(byteCount) {
      release(1 - index, of: &state, to: backend)
    }
    return state.pieces[index].buffer
  }

  /// Gives a piece's memory back; false where it has none. The main stream has waited until it was filled, and frees in order.
  @discardableResult
  private func release(_ index: Int, of state: inout State, to backend: CUDABackend) -> Bool {
    guard let buffer = state.pieces[index].buffer else { return false }
    state.pieces[index].buffer = nil
    state.pieces[index].isUsed = false
    backend.release(buffer)
    return true
  }

  /// Makes the events; false, and the error kept, where that fails.
  private func start(_ state: inout State) -> Bool {
    context.makeCurrent()
    while state.pieces.count < 2 {
      var events: [Driver.Handle?] = [nil, nil]
      for index in events.indices {
        // 2: an event without a time.
        guard context.check(context.driver.createEvent(&events[index], 2), "cuEventCreate") else {
          for event in events where event != nil { _ = context.driver.destroyEvent(event) }
          return false
        }
      }
      state.pieces.append(
        Piece(filled: UInt(bitPattern: events[0]), used: UInt(bitPattern: events[1])))
    }
    return true
  }

  private func record(_ event: Driver.Handle?, on stream: Driver.Handle?) -> Bool {
    context.check(context.driver.recordEvent(event, stream), "cuEventRecord")
  }

  private func wait(for event: Driver.Handle?, on stream: Driver.Handle?) -> Bool {
    context.check(context.driver.waitForEvent(stream, event, 0), "cuStreamWaitEvent")
  }

  private func handle(_ bits: UInt) -> Driver.Handle? { UnsafeMutableRawPointer(bitPattern: bits) }
}
