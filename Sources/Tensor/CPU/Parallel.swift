// The one way to split CPU work. Chunks depend on sizes and never on the number of threads, so results do not either.

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
