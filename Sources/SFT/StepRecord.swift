// What one optimizer step was.

/// One optimizer step.
public struct StepRecord: Sendable {
  /// From 1.
  public var step, totalSteps: Int
  /// Passes over the data so far, with its fraction.
  public var epoch: Double
  /// Summed negative log-likelihood of the step's trained tokens over their number.
  public var loss: Double
  /// Before clipping.
  public var gradientNorm: Double
  /// The one used in this step.
  public var learningRate: Double
  /// Tokens and trained tokens of this step.
  public var tokenCount, trainedTokenCount: Int
  /// Trained tokens whose most likely prediction was right.
  public var correctTokenCount: Int
  /// Tokens of the step per second.
  public var tokensPerSecond: Double
  /// Seconds that the step took.
  public var seconds: Double
}
