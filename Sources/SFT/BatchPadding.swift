// What makes micro-batches of packed rows alike, so that the work of one can be replayed for the others.

/// Constant sizes of micro-batches of packed rows, so that one is like the other. What is missing is made up for by documents
/// of token 0 that nobody attends to, and by rows of the loss that count for nothing.
package struct BatchPadding: Sendable, Hashable {
  /// Tokens of a micro-batch.
  package let tokens: Int
  /// The longest document.
  package let positions: Int

  /// The sizes of `bins` bins of at most `capacity` tokens each.
  package init(bins: Int, capacity: Int) {
    tokens = bins * capacity
    positions = capacity
  }

  /// Rows of the loss where `trained` tokens are trained: one of eight numbers.
  package func rowCount(trained: Int) -> Int {
    let step = max((tokens + 7) / 8, 1)
    return (trained + step - 1) / step * step
  }

  /// The size of a padded micro-batch with `trained` trained tokens.
  package func size(trained: Int) -> BatchSize {
    BatchSize(tokens: tokens, trained: rowCount(trained: trained))
  }
}
