// The ways to split CPU work. Chunks depend on sizes and never on the number of threads, so results do not either; which
// thread takes a chunk, and where streams are cut among threads, changes no result.

import Synchronization

/// The worker threads of CPU kernels.
package enum Workers {
  private static let limit = Atomic<Int>(Workers.available)

  /// Processors that this process may use.
  package static let available = max(1, OpenBLAS.processorCount)

  /// How many threads kernels use; at least 1.
  package static var count: Int {
    get { limit.load(ordering: .relaxed) }
    set { limit.store(max(1, newValue), ordering: .relaxed) }
  }
}

/// Runs `body` on consecutive ranges of at most `grain` indices that together cover `0..<count`.
///
/// Ranges run on several threads at once, in no particular order; bodies must write disjoint memory.
@inline(__always)
package func parallelFor(_ count: Int, grain: Int, _ body: (Range<Int>) -> Void) {
  let grain = max(grain, 1)
  if count <= grain {
    if count > 0 { body(0..<count) }
    return
  }
  parallelTasks((count + grain - 1) / grain) { task, _ in
    body(task * grain..<min(count, (task + 1) * grain))
  }
}

/// Runs tasks `0..<count`; `worker` (below `workers`) tells bodies which scratch memory is theirs.
package func parallelTasks(
  _ count: Int, workers: Int = Workers.count, _ body: (_ task: Int, _ worker: Int) -> Void
) {
  let workers = min(workers, count)
  if workers <= 1 {
    for task in 0..<max(count, 0) { body(task, 0) }
    return
  }
  let next = Atomic<Int>(0)
  ThreadTeam.run(workers) { worker in
    while true {
      let task = next.wrappingAdd(1, ordering: .relaxed).oldValue
      if task >= count { return }
      body(task, worker)
    }
  }
}

/// As `parallelFor`, for memory that is read once: every thread goes through a part of its own from front to back, since what
/// follows on what was read comes faster, and then helps with the ends of the others' parts.
@inline(__always)
package func parallelStreams(_ count: Int, grain: Int, _ body: (Range<Int>) -> Void) {
  let grain = max(grain, 1)
  let tasks = (count + grain - 1) / grain
  let workers = min(Workers.count, tasks, StreamParts.limit)
  if workers <= 1 {
    if count > 0 { body(0..<count) }
    return
  }
  let parts = StreamParts(tasks, workers: workers)
  ThreadTeam.run(workers) { worker in
    while let task = parts.take(for: worker) {
      body(task * grain..<min(count, (task + 1) * grain))
    }
  }
}

/// Tasks in as many parts as there are threads. A part's owner takes from its front, everyone else from its back.
package struct StreamParts: ~Copyable {
  /// The most parts there are.
  package static let limit = 256

  /// The first task that nobody has taken and the end of those, in the upper and the lower half.
  private let bounds: UnsafeMutablePointer<Atomic<UInt64>>
  private let workers: Int
  /// Parts lie a cache line and its neighbour apart, so that threads do not take it from each other.
  private static let distance = 16

  /// Parts of tasks `0..<tasks` for threads `0..<workers`.
  package init(_ tasks: Int, workers: Int) {
    precondition(tasks < 1 << 31, "StreamParts: \(tasks) tasks")
    self.workers = workers
    bounds = .allocate(capacity: workers * StreamParts.distance)
    for worker in 0..<workers {
      let (first, end) = (tasks * worker / workers, tasks * (worker + 1) / workers)
      (bounds + worker * StreamParts.distance).initialize(
        to: Atomic(UInt64(first) << 32 | UInt64(end)))
    }
  }

  deinit {
    for worker in 0..<workers {
      (bounds + worker * StreamParts.distance).deinitialize(count: 1)
    }
    bounds.deallocate()
  }

  /// A task that is now the caller's; nil when there are no more.
  package func take(for worker: Int) -> Int? {
    if let task = take(from: worker, atFront: true) { return task }
    for step in 1..<workers {
      if let task = take(from: (worker + step) % workers, atFront: false) { return task }
    }
    return nil
  }

  private func take(from part: Int, atFront: Bool) -> Int? {
    let bounds = bounds + part * StreamParts.distance
    var known = bounds.pointee.load(ordering: .relaxed)
    while true {
      let (first, end) = (known >> 32, known & 0xFFFF_FFFF)
      if first >= end { return nil }
      let next = atFront ? (first + 1) << 32 | end : first << 32 | (end - 1)
      let (exchanged, original) = bounds.pointee.weakCompareExchange(
        expected: known, desired: next, ordering: .relaxed)
      if exchanged { return Int(atFront ? first : end - 1) }
      known = original
    }
  }
}
