// Loss, perplexity and accuracy over rows.

import Glibc

/// What a model makes of rows it is not trained on.
public struct Evaluation: Sendable {
  /// Σ −log p over all trained tokens.
  public private(set) var totalNegativeLogLikelihood = 0.0
  /// Number of trained tokens.
  public private(set) var trainedTokenCount = 0
  /// Trained tokens whose most likely prediction was right.
  public private(set) var correctTokenCount = 0

  /// Mean −log p; 0 without a trained token.
  public var loss: Double { totalNegativeLogLikelihood / Double(max(trainedTokenCount, 1)) }
  /// e to the loss.
  public var perplexity: Double { exp(loss) }
  /// Share of right predictions.
  public var meanTokenAccuracy: Double {
    Double(correctTokenCount) / Double(max(trainedTokenCount, 1))
  }

  /// The keys and values that the log and `evaluate` print.
  public var values: [(key: String, value: Double)] {
    [
      ("eval_loss", loss), ("eval_perplexity", perplexity),
      ("eval_mean_token_accuracy", meanTokenAccuracy),
      ("eval_trained_tokens", Double(trainedTokenCount)),
    ]
  }

  mutating func add(_ nll: some Sequence<Double>, correct: Int) {
    for value in nll {
      totalNegativeLogLikelihood += value
      trainedTokenCount += 1
    }
    correctTokenCount += correct
  }
}
