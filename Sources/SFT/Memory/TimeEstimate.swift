// The expected time of a run.

/// The expected time of a run.
public struct TimeEstimate: Sendable {
  /// Seconds of all steps together.
  public var trainingSeconds: Double
  /// Seconds of all evaluations together.
  public var evaluationSeconds: Double
  /// Tokens of the run per second of its steps.
  public var tokensPerSecond: Double
  /// Seconds that measuring took.
  public var probeSeconds: Double

  /// Seconds of the whole run, without loading and saving.
  public var totalSeconds: Double { trainingSeconds + evaluationSeconds }
}
