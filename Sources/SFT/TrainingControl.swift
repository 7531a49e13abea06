// What one may ask of a run while it goes on, from any thread: to stop, to end, to save, to evaluate.

import Synchronization

/// Requests to a run. They are met between micro-batches (``stop()``) or after the step that is being done (the others).
public final class TrainingControl: Sendable {
  private let wantsStop = Atomic(false), wantsEnd = Atomic(false)
  private let wantsCheckpoint = Atomic(false), wantsEvaluation = Atomic(false)

  /// A control that has not been asked for anything.
  public init() {}

  /// Stops the run at the next micro-batch, after a checkpoint from which it can be continued: `run()` throws
  /// ``TrainingError/interrupted(step:checkpoint:)``.
  public func stop() { wantsStop.store(true, ordering: .relaxed) }

  /// Ends the run after the step, as if that had been the last: the result is written and `run()` returns.
  public func finish() { wantsEnd.store(true, ordering: .relaxed) }

  /// Writes a checkpoint after the step, whatever `saveStrategy` says.
  public func save() { wantsCheckpoint.store(true, ordering: .relaxed) }

  /// Evaluates after the step, whatever `evalStrategy` says; nothing happens in a run without rows to evaluate.
  public func evaluate() { wantsEvaluation.store(true, ordering: .relaxed) }

  var isStopRequested: Bool { wantsStop.load(ordering: .relaxed) }
  var isEndRequested: Bool { wantsEnd.load(ordering: .relaxed) }

  /// Whether a checkpoint is wanted; the wish is then fulfilled.
  func takeCheckpointRequest() -> Bool { wantsCheckpoint.exchange(false, ordering: .relaxed) }

  /// Whether an evaluation is wanted; the wish is then fulfilled.
  func takeEvaluationRequest() -> Bool { wantsEvaluation.exchange(false, ordering: .relaxed) }
}

/// Something that watches a run and may ask things of it.
///
/// Callbacks are called on the trainer's thread, in the order in which they were given; the run waits for them.
public protocol TrainingCallback {
  /// Takes one event of the run that `control` steers.
  func handle(_ event: TrainingEvent, control: TrainingControl)
}
