// The loss of every row when it was last trained on. It costs one number a row: the losses of tokens are there anyway.

/// The loss of each row as it was last seen.
struct RowLosses: Sendable {
  /// By row; NaN for one that has not been seen.
  private var values: [Float]

  /// No row of `count` has been seen.
  init(count: Int) { values = [Float](repeating: .nan, count: count) }

  /// Notes the losses of a micro-batch: `nll` holds those of the trained tokens of the rows `indices`, one behind the other.
  mutating func note(_ nll: [Double], of indices: [Int], in rows: [EncodedRow]) {
    var start = 0
    for index in indices {
      let count = rows[index].trainedTokenCount
      guard count > 0, start + count <= nll.count else { continue }
      values[index] = Float(nll[start..<start + count].reduce(0, +) / Double(count))
      start += count
    }
  }

  /// The summary with `count` rows of the highest loss; nil where no row has been seen.
  func summary(of rows: [EncodedRow], highest count: Int = 20) -> RowLossSummary? {
    // Among equal losses the earlier row comes first, whatever the sort does with equals.
    let seen = values.indices.filter { values[$0].isFinite }
      .sorted { values[$0] != values[$1] ? values[$0] > values[$1] : $0 < $1 }
    guard let first = seen.first, let last = seen.last else { return nil }
    func quantile(_ share: Double) -> Double {
      // Highest first: the share counts from the end.
      let index = Int((Double(seen.count - 1) * (1 - share)).rounded())
      return Double(values[seen.indices.contains(index) ? seen[index] : share < 0.5 ? last : first])
    }
    return RowLossSummary(
      rowCount: seen.count, lowestTenth: quantile(0.1), median: quantile(0.5),
      highestTenth: quantile(0.9),
      highest: seen.prefix(count).map { index in
        RowLoss(
          index: index, file: rows[index].file, line: rows[index].line, loss: Double(values[index]),
          trainedTokenCount: rows[index].trainedTokenCount)
      })
  }
}
