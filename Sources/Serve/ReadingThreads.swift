// Threads for reading requests: rendering and encoding a few megabytes takes longer than those who serve connections may wait.

import Dispatch
import Synchronization

/// A few threads beside those of the connections.
final class ReadingThreads: Sendable {
  private let queues: [DispatchQueue]
  private let next = Atomic<Int>(0)

  /// `count` threads.
  init(count: Int = 2) {
    queues = (0..<max(1, count)).map { DispatchQueue(label: "reading-\($0)", qos: .userInitiated) }
  }

  /// What `body` returns or throws, on one of the threads; each takes up its work in the order of its coming.
  func run<Value: Sendable>(_ body: @escaping @Sendable () throws(APIError) -> Value)
    async throws(APIError) -> Value
  {
    let index = next.wrappingAdd(1, ordering: .relaxed).oldValue
    let queue = queues[Int(UInt(bitPattern: index) % UInt(queues.count))]
    let result = await withCheckedContinuation { continuation in
      queue.async {
        let result: Result<Value, APIError>
        do throws(APIError) { result = .success(try body()) } catch { result = .failure(error) }
        continuation.resume(returning: result)
      }
    }
    return try result.get()
  }
}
