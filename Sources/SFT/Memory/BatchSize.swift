// The sizes of a micro-batch that its memory depends on.

/// How much goes through the model at once.
package struct BatchSize: Sendable, Hashable {
  /// Tokens N of all rows together.
  package var tokens: Int
  /// Tokens M that are trained.
  package var trained: Int

  /// `tokens` tokens, `trained` of them trained.
  package init(tokens: Int, trained: Int) {
    self.tokens = tokens
    self.trained = trained
  }

  /// The size of some rows together.
  package init(_ rows: some Sequence<EncodedRow>) {
    self.init(tokens: 0, trained: 0)
    for row in rows {
      tokens += row.inputIDs.count
      trained += row.trainedTokenCount
    }
  }

  /// The smallest size that is no smaller than any of `sizes`.
  package init(covering sizes: some Sequence<BatchSize>) {
    self.init(tokens: 0, trained: 0)
    for size in sizes {
      tokens = max(tokens, size.tokens)
      trained = max(trained, size.trained)
    }
  }

  /// The next of eight sizes for each power of two: what is true of it is true of all sizes below, and few have to be tried.
  var rounded: BatchSize {
    BatchSize(tokens: Self.rounded(tokens), trained: Self.rounded(trained))
  }

  private static func rounded(_ count: Int) -> Int {
    guard count > 16 else { return max(count, 1) }
    let step = 1 << (Int.bitWidth - 1 - (count - 1).leadingZeroBitCount - 3)
    return (count + step - 1) / step * step
  }
}
