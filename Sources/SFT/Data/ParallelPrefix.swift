// Doing the same to many values on all worker threads until one of them fails. What is done is the caller's
// business; which failure counts does not depend on the number of threads.

import Synchronization
import Tensor

/// The results of `transform` for the values before the first that it fails on, in order, and that failure.
///
/// Values behind a failure are begun no more, so that a fault of every value costs no more than a few.
package func parallelPrefix<Value: Sendable, Output: Sendable, Failure: Error>(
  _ values: [Value], grain: Int = 16, _ transform: (Value) throws(Failure) -> Output
) -> (outputs: [Output], failure: Failure?) {
  let chunks = Mutex<[Int: [Output]]>([:])
  let failure = Mutex<(index: Int, error: Failure)?>(nil)
  let firstFailure = Atomic<Int>(.max)
  parallelFor(values.count, grain: grain) { range in
    var outputs: [Output] = []
    for index in range {
      if index > firstFailure.load(ordering: .relaxed) { break }
      do throws(Failure) {
        outputs.append(try transform(values[index]))
      } catch {
        firstFailure.min(index, ordering: .relaxed)
        failure.withLock { if index < $0?.index ?? .max { $0 = (index, error) } }
        break
      }
    }
    chunks.withLock { $0[range.lowerBound] = outputs }
  }
  let first = failure.withLock { $0 }
  let outputs = chunks.withLock { $0 }.sorted { $0.key < $1.key }.flatMap(\.value)
  return (Array(outputs.prefix(first?.index ?? values.count)), first?.error)
}
