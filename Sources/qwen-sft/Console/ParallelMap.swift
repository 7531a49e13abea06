// Doing the same to many values on all worker threads, results in order.

import Synchronization
import Tensor

/// `transform` of each of `values`, in their order; runs on several threads at once.
func parallelMap<Value: Sendable, Result: Sendable>(
  _ values: [Value], grain: Int = 16, _ transform: (Value) -> Result
) -> [Result] {
  let chunks = Mutex<[Int: [Result]]>([:])
  parallelFor(values.count, grain: grain) { range in
    let results = values[range].map(transform)
    chunks.withLock { $0[range.lowerBound] = results }
  }
  return chunks.withLock { $0 }.sorted { $0.key < $1.key }.flatMap(\.value)
}
