// What a run tells its observers. Printing and files are their business.

/// Something that happened in a run.
public enum TrainingEvent: Sendable {
  /// Comes before ``started(totalSteps:trainedParameters:rows:)`` when an earlier run is continued: its log so far,
  /// and the steps that it has done.
  case resumed(log: [LogEntry], step: Int)
  /// The first step is about to begin.
  case started(totalSteps: Int, trainedParameters: Int, rows: Int)
  /// A step is done.
  case step(StepRecord)
  /// The log has a new entry.
  case logged(LogEntry)
  /// The held-out rows have been evaluated.
  case evaluated(LogEntry)
  /// The model has answered the sample prompts.
  case sampled([SampledAnswer])
  /// What the losses of single rows look like; comes before ``saved(path:step:)`` and ``finished(_:)``.
  case rowLosses(RowLossSummary)
  /// Evaluations have not become better for as long as they may: the run ends after this step.
  case stoppedEarly(step: Int, bestStep: Int, bestLoss: Double)
  /// The weights of the best checkpoint are the result.
  case restoredBest(path: String, step: Int)
  /// A checkpoint is whole.
  case saved(path: String, step: Int)
  /// Something that the user should know.
  case notice(String)
  /// The result is written.
  case finished(TrainingSummary)
}
