// The memory of recorded work: pools that only grow, so that the addresses in graphs stay good.

import Synchronization
import Tensor

/// The memory of a backend's recordings.
final class RecordedMemory: Sendable {
  /// A recorder that may be gone.
  private struct Holder: Sendable {
    weak var recorder: Recorder?
  }

  private struct State {
    var owners: [UInt: BufferPool] = [:]
    var holders: [Holder] = []
    var byteCount = 0
    var peakByteCount = 0
    var missCount = 0
    var limit: Int?
  }
  private let state = Mutex(State())

  /// Bytes that pools of recorders hold.
  var byteCount: Int { state.withLock { $0.byteCount } }

  /// The most that they have held together with what was in use beside them when they took it.
  var peakByteCount: Int { state.withLock { $0.peakByteCount } }

  /// Makes what is held from now on the new peak.
  func resetPeak() { state.withLock { $0.peakByteCount = 0 } }

  /// How often they took memory.
  var missCount: Int { state.withLock { $0.missCount } }

  /// What all pools of the backend may hold together, nil without a limit.
  var limit: Int? { state.withLock { $0.limit } }

  /// Sets the limit.
  func setLimit(_ byteCount: Int?) { state.withLock { $0.limit = byteCount } }

  /// Counts bytes that a pool has taken, beside `liveByteCount` that are in use by work that runs.
  func didTake(_ byteCount: Int, beside liveByteCount: Int) {
    state.withLock {
      $0.byteCount += byteCount
      $0.peakByteCount = max($0.peakByteCount, $0.byteCount + liveByteCount)
      $0.missCount += 1
    }
  }

  /// Counts bytes that a pool has given back.
  func didGive(_ byteCount: Int) { state.withLock { $0.byteCount -= byteCount } }

  /// Notes whose a buffer is.
  func lend(_ buffer: Buffer, from pool: BufferPool) {
    state.withLock { $0.owners[buffer.address] = pool }
  }

  /// The pool of a buffer that is given back; nil where it is not a recorder's.
  func owner(of buffer: Buffer) -> BufferPool? {
    state.withLock { $0.owners.isEmpty ? nil : $0.owners.removeValue(forKey: buffer.address) }
  }

  /// Notes a recorder.
  func add(_ recorder: Recorder) {
    state.withLock { state in
      state.holders.removeAll { $0.recorder == nil }
      state.holders.append(Holder(recorder: recorder))
    }
  }

  /// Makes all recordings void and gives their memory back; false where there was none.
  func reclaim() -> Bool {
    let recorders = state.withLock { $0.holders.compactMap(\.recorder) }
    let before = byteCount
    for recorder in recorders { recorder.reclaim() }
    return byteCount < before
  }
}

/// Memory for a recorder's pool, taken beside the stream.
private struct RecorderSource: MemorySource {
  let context: CUDAContext
  let memory: RecordedMemory
  /// The pool of work that runs: both keep to one limit.
  let main: BufferPool
  let sizes: any MemorySource

  func sizeClass(_ byteCount: Int) -> Int { sizes.sizeClass(byteCount) }

  func take(_ byteCount: Int) -> UInt? {
    let held = main.statistics.reservedByteCount + memory.byteCount
    guard !context.hasFailed, held + byteCount <= memory.limit ?? .max,
      let address = context.allocateBesideStream(byteCount)
    else { return nil }
    memory.didTake(byteCount, beside: main.statistics.liveByteCount)
    return address
  }

  func give(_ address: UInt, byteCount: Int) {
    context.free(address)
    memory.didGive(byteCount)
  }
}

/// The memory of a recorder. Where one recording has scratch memory another may have its results, so that what is written before
/// replays lies apart.
final class RecorderPools: Sendable {
  /// What kernels write.
  let work: BufferPool
  /// What is written before replays.
  let inputs: BufferPool

  /// Empty pools.
  init(_ backend: CUDABackend) {
    func pool() -> BufferPool {
      BufferPool(
        source: RecorderSource(
          context: backend.context, memory: backend.recordedMemory, main: backend.pool,
          sizes: backend.memorySource),
        growsOnly: true)
    }
    (work, inputs) = (pool(), pool())
  }

  /// Whether there is memory that no tensor holds.
  var hasWaiting: Bool {
    [work, inputs].contains { $0.statistics.reservedByteCount > $0.statistics.liveByteCount }
  }

  /// Gives back what waits; no graph may refer to it.
  func trim() {
    work.trim()
    inputs.trim()
  }
}
