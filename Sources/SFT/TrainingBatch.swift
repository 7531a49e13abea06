// Rows as the model takes them: concatenated tokens, and which positions predict a trained token.

package import QwenModel
package import Tensor

/// One micro-batch.
package struct TrainingBatch {
  /// All tokens of the rows.
  package let tokens: TokenBatch
  /// Positions (int32 [M]) whose next token is trained, and those tokens; ``ignoredTarget`` for a row that counts for nothing.
  package let rows, targets: Tensor
  /// How many of the rows count.
  package let trainedTokenCount: Int

  /// What its memory depends on.
  package var size: BatchSize { BatchSize(tokens: tokens.count, trained: rows.count) }

  /// The rows behind one another; nil when none of them has a trained token.
  package init?(_ rows: [EncodedRow], padding: BatchPadding? = nil, on device: Device) {
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
    trainedTokenCount = positions.count
    var documents = rows.map(\.inputIDs)
    if let padding {
      precondition(start <= padding.tokens, "TrainingBatch: \(start) tokens for \(padding.tokens)")
      while start < padding.tokens {
        let count = min(padding.tokens - start, padding.positions)
        documents.append([Int32](repeating: 0, count: count))
        start += count
      }
      // Spread over the tokens: the gradients of a token's rows are added one after another.
      let missing = padding.rowCount(trained: positions.count) - positions.count
      positions += (0..<missing).map { Int32($0 % start) }
      targets += [Int32](repeating: ignoredTarget, count: missing)
    }
    tokens = TokenBatch(documents, positionCount: padding?.positions ?? 0, on: device)
    self.rows = Tensor(positions, on: device)
    self.targets = Tensor(targets, on: device)
  }
}
