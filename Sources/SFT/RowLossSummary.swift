// The rows of a run with the highest losses.

/// The loss of a row.
public struct RowLoss: Sendable, Hashable {
  /// The number of the row in the order in which the trainer got them, from 0.
  public let index: Int
  /// File and line of the row.
  public let file: String, line: Int
  /// Mean −log p of its trained tokens in the step in which it was last trained on.
  public let loss: Double
  /// Its trained tokens.
  public let trainedTokenCount: Int
}

/// What the losses of all rows look like.
public struct RowLossSummary: Sendable, Hashable {
  /// Rows that have been trained on since the process began.
  public let rowCount: Int
  /// Losses that a tenth, a half and nine tenths of these rows stay below.
  public let lowestTenth: Double, median: Double, highestTenth: Double
  /// The rows with the highest loss, the highest first.
  public let highest: [RowLoss]
}
