// Training for programs that are asynchronous: the synchronous loop on a thread of its own, its events as a stream.

import Dispatch
import Synchronization

extension Trainer {
  /// What a trainer of a stream is to be given: it tells the stream what happens, and stops when nobody listens.
  public struct Hooks: Sendable {
    /// For `shouldStop` of the initializer.
    public let shouldStop: @Sendable () -> Bool
    /// For `observe` of the initializer.
    public let observe: @Sendable (TrainingEvent) -> Void
  }

  /// Runs the trainer that `make` returns and streams its events; the last is ``TrainingEvent/finished(_:)``.
  ///
  /// `make` runs on the trainer's thread: model, rows and callbacks are made there and go nowhere else. Cancelling the
  /// task that iterates stops the run at the next micro-batch, after a checkpoint. Errors of `make` and of the run end
  /// the stream.
  public static func events(
    _ make: @escaping @Sendable (Hooks) throws -> Trainer
  ) -> AsyncThrowingStream<TrainingEvent, any Error> {
    AsyncThrowingStream { continuation in
      let stop = StopRequest()
      continuation.onTermination = { _ in stop.make() }
      let hooks = Hooks(
        shouldStop: { stop.isMade }, observe: { event in continuation.yield(event) })
      DispatchQueue(label: "training").async {
        do {
          _ = try make(hooks).run()
          continuation.finish()
        } catch {
          continuation.finish(throwing: error)
        }
      }
    }
  }

  /// Whether a stream's reader is gone.
  private final class StopRequest: Sendable {
    private let flag = Atomic(false)
    var isMade: Bool { flag.load(ordering: .relaxed) }
    func make() { flag.store(true, ordering: .relaxed) }
  }
}
