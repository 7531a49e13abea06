// Rows as the model takes them: concatenated tokens, and which positions predict a trained token.

package import QwenModel
package import Tensor

/// One micro-batch.
package struct TrainingBatch {
  /// All tokens of the rows.
  package let tokens: TokenBatch
  /// Positions (int32 [M]) whose next token is trained, and those tokens.
  package let rows, targets: Tensor
  /// M.
  package let trainedTokenCount: Int

  /// The rows behind one another; nil when none of them has a trained token.
  package init?(_ rows: [EncodedRow], on device: Device) {
    var (positions, targets) = ([Int32](), [Int32]())
    var start = 0
    for row in rows {
      for i in 0..<max(row.inputIDs.count - 1, 0) where row.labels[i + 1] != EncodedRow.ignoredLabel
      {
        positions.append(Int32(start + i))
        targets.append(row.labels[i + 1])
      }
      start += row.inputIDs.count
    }
    guard !positions.isEmpty else { return nil }
    tokens = TokenBatch(rows.map(\.inputIDs), on: device)
    self.rows = Tensor(positions, on: device)
    self.targets = Tensor(targets, on: device)
    trainedTokenCount = positions.count
  }
}
