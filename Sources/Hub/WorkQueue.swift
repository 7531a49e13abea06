// Work for several threads, and what came of it.

import Synchronization

/// Indices for several threads to work on, and what came of them.
final class WorkQueue<Result: Sendable>: Sendable {
  private struct State {
    var next = 0
    var results: [Int: Result] = [:]
    var error: HubError?
  }

  private let count: Int
  private let state = Mutex(State())

  /// Work of `count` parts.
  init(count: Int) { self.count = count }

  /// The next index, nil where there is none.
  func next() -> Int? {
    state.withLock { state in
      guard state.next < count, state.error == nil else { return nil }
      state.next += 1
      return state.next - 1
    }
  }

  /// Keeps what came of an index.
  func finish(_ index: Int, _ result: Result) { state.withLock { $0.results[index] = result } }

  /// Keeps the first error, which the others follow from.
  func fail(_ error: HubError) { state.withLock { $0.error = $0.error ?? error } }

  /// What came of all indices, in order; throws the first error.
  func results() throws(HubError) -> [Result] {
    let state = state.withLock { $0 }
    if let error = state.error { throw error }
    return state.results.sorted { $0.key < $1.key }.map(\.value)
  }
}
