// How a run ended.

/// How a run ended.
public struct TrainingSummary: Sendable {
  /// Steps of the whole run, resumed parts included.
  public var steps: Int
  /// Mean of the steps' losses.
  public var trainLoss: Double
  /// Seconds that this process has trained, with evaluations, sampled answers and checkpoints.
  public var seconds: Double
  /// Tokens of this process's steps per second.
  public var tokensPerSecond: Double
  /// Largest resident set of the process, in bytes.
  public var peakMemoryByteCount: Int
}
