// Recording: the stream is captured into a graph, which the driver queues again in one call. While a body is recorded its
// memory comes from pools of the recorder's.

package import Tensor

extension CUDABackend: RecordingKernels {
  package func makeRecorder() -> (any WorkRecorder)? { Recorder(self) }

  /// Throws, and makes the recording void, where something is being recorded that cannot be: `what` it is.
  func requireNoRecording(_ what: String) throws(DeviceError) {
    guard let recording else { return }
    recording.invalidate(what)
    throw recording.failure(what)
  }
}

/// Records into graphs.
///
/// Safety: it is used on one thread, as ``WorkRecorder`` says; the list of graphs alone is reached from the backend as well, on the
/// same thread.
final class Recorder: WorkRecorder, @unchecked Sendable {
  /// A graph that may be gone.
  private struct Holder {
    weak var graph: RecordedGraph?
  }

  private let backend: CUDABackend
  private let pools: RecorderPools
  private var graphs: [Holder] = []
  private(set) var problem: String?

  /// A recorder with no memory yet.
  init(_ backend: CUDABackend) {
    self.backend = backend
    pools = RecorderPools(backend)
    backend.recordedMemory.add(self)
  }

  deinit {
    pools.trim()
    backend.limitPool()
  }

  func record(_ body: () -> Void) -> (any RecordedWork)? {
    let context = backend.context
    guard !context.hasFailed else { return nil }
    context.makeCurrent()
    // What work that ran has left waiting is as much as this will want. The driver's pool may keep it in pieces.
    backend.unpackedWeights.releaseMemory(to: backend)
    backend.pool.trim()
    context.synchronize(last: backend.lastKernelName)
    context.trim()
    guard !context.hasFailed else { return nil }
    context.beginAttempt()
    let active = ActiveRecording(backend, pools)
    var graph: Driver.Handle?
    // 2: other streams may be used meanwhile.
    if context.check(
      context.driver.beginCapture(context.stream, 2), "cuStreamBeginCapture")
    {
      backend.setRecording(active)
      body()
      active.unpackedWeights.releaseMemory(to: backend)
      backend.setRecording(nil)
      context.check(context.driver.endCapture(context.stream, &graph), "cuStreamEndCapture")
    }
    var executable: Driver.Handle?
    if let graph {
      context.check(
        context.driver.instantiateGraph(&executable, graph, 0), "cuGraphInstantiateWithFlags")
      context.check(context.driver.destroyGraph(graph), "cuGraphDestroy")
    }
    // What the graph itself needs on the device is taken now, where a lack of it costs the recording alone.
    if let executable {
      context.check(context.driver.uploadGraph(executable, context.stream), "cuGraphUpload")
      context.synchronize(last: "cuGraphUpload")
    }
    let failure = context.endAttempt()
    problem = failure.map { "\($0)" }
    backend.limitPool()
    guard failure == nil, let executable else {
      if let executable { _ = context.driver.destroyExecutableGraph(executable) }
      active.releaseBuffers()
      graphs.removeAll { $0.graph == nil }
      if graphs.isEmpty { pools.trim() }
      return nil
    }
    let recorded = RecordedGraph(backend, self, active, executable: executable)
    graphs.removeAll { $0.graph == nil }
    graphs.append(Holder(graph: recorded))
    return recorded
  }

  /// Makes all graphs void and gives back the memory that they used but for results.
  func reclaim() {
    // Where all has been given back, the limit of the main pool is as it should be, and setting it again would empty that pool.
    guard graphs.contains(where: { $0.graph != nil }) || pools.hasWaiting else { return }
    for holder in graphs { holder.graph?.void() }
    graphs = []
    pools.trim()
    backend.limitPool()
  }
}

/// A graph that can be launched.
final class RecordedGraph: RecordedWork {
  private let backend: CUDABackend
  /// Holds the memory whose addresses are in the graph.
  private let recorder: Recorder
  private let recording: ActiveRecording
  /// Nil once the memory has been given back.
  private var executable: Driver.Handle?
  private var documents: [Int] = []
  private var advance: UInt32?

  /// The graph of a recording.
  init(
    _ backend: CUDABackend, _ recorder: Recorder, _ recording: ActiveRecording,
    executable: Driver.Handle
  ) {
    self.backend = backend
    self.recorder = recorder
    self.recording = recording
    self.executable = executable
  }

  deinit { void() }

  /// Destroys the graph, after which it cannot be replayed.
  func void() {
    guard let executable else { return }
    let context = backend.context
    context.makeCurrent()
    _ = context.driver.synchronizeStream(context.stream)
    _ = context.driver.destroyExecutableGraph(executable)
    self.executable = nil
    recording.releaseBuffers()
  }

  func replay(documents: [Int], advance: UInt32) -> Bool {
    let context = backend.context
    guard !context.hasFailed else { return true }
    guard let executable, show(documents) else { return false }
    if self.advance != advance, let word = recording.advanceWord {
      withUnsafeBytes(of: advance) { backend.copyIn($0, to: word, byteOffset: 0) }
    }
    self.advance = advance
    context.makeCurrent()
    backend.note(Kernel("recording", "recorded_work", .none))
    context.check(
      context.driver.launchGraph(executable, context.stream), "cuGraphLaunch")
    return true
  }

  /// Writes the lists of tiles; false where they have no room for so many documents.
  private func show(_ documents: [Int]) -> Bool {
    guard let tokenCount = recording.tokenCount, documents != self.documents else { return true }
    precondition(
      documents.last == tokenCount,
      "replay: documents of \(documents.last ?? 0) tokens, recorded with \(tokenCount)")
    let all = recording.lists.map { list in
      (
        list.tiles,
        AttentionPlans.numbers(.init(list.side, height: list.height, documents: documents))
      )
    }
    guard all.allSatisfy({ tiles, numbers in numbers.count <= 3 * tiles.count }) else {
      return false
    }
    for (tiles, numbers) in all {
      let padded = numbers + [Int32](repeating: 0, count: 3 * tiles.count - numbers.count)
      padded.withUnsafeBytes { backend.copyIn($0, to: tiles.buffer, byteOffset: 0) }
    }
    self.documents = documents
    return true
  }
}
