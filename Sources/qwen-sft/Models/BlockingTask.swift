// From a command, which is synchronous, to work that is not.

import Dispatch
import Synchronization

/// Waiting for asynchronous work.
enum BlockingTask {
  /// Runs `body` and returns when it has ended; errors are its own.
  static func run(_ body: @escaping @Sendable () async throws -> Void) throws {
    let semaphore = DispatchSemaphore(value: 0)
    let outcome = Outcome()
    Task {
      do { try await body() } catch { outcome.failure.withLock { $0 = error } }
      semaphore.signal()
    }
    semaphore.wait()
    if let failure = outcome.failure.withLock({ $0 }) { throw failure }
  }

  private final class Outcome: Sendable {
    let failure = Mutex<(any Error)?>(nil)
  }
}
