// The head of a large vocabulary, computed for the tokens that can be chosen alone.

import Autograd
import Tensor

/// Logits of some tokens, in rising order of their numbers.
package struct CandidateLogits {
  /// The tokens.
  package let ids: [Int32]
  /// Their logits.
  package let values: [Float]

  /// Where a token is; nil where it is not there.
  func place(of id: Int32) -> Int? {
    var (first, end) = (0, ids.count)
    while first < end {
      let middle = (first + end) / 2
      if ids[middle] < id { first = middle + 1 } else { end = middle }
    }
    return first < ids.count && ids[first] == id ? first : nil
  }
}

/// Finds the tokens that can be among the likeliest by a screen of the head, and computes their logits as those of all would be.
///
/// The screen takes half the memory of a head in bfloat16. It is made when it is first wanted, and again when the head has changed.
final class HeadScreen {
  private let model: QwenModel
  private var screen: (any RowScreen)?
  /// The version of the head that the screen, or its absence, belongs to.
  private var version: Int?
  private var missCount = 0
  /// Tokens to be decoded for which making a screen is worth while.
  private static let leastTokenCount = 24
  /// Steps in a row for which a screen finds too many tokens, until it is given up.
  private static let patience = 8

  init(_ model: QwenModel) { self.model = model }

  /// For each row of `hidden` [B, C] the logits of the `count` likeliest tokens, of the row's `others` and of some more; nil where all
  /// logits are as good. `remaining` is about how many tokens are still to come.
  func logits(
    after hidden: Tensor, count: Int, others: [Set<Int32>], remaining: Int, on tape: Tape
  ) throws(DeviceError) -> [CandidateLogits]? {
    let head = model.headWeight
    if version != head.version {
      guard remaining >= HeadScreen.leastTokenCount, hidden.dtype.contains(head.value.dtype) else {
        return nil
      }
      screen = head.value.rowScreen()
      (version, missCount) = (head.version, 0)
    }
    guard let screen else { return nil }
    guard let candidates = screen.candidates(for: hidden, count: count) else {
      missCount += 1
      if missCount >= HeadScreen.patience { self.screen = nil }
      return nil
    }
    missCount = 0
    var logits: [CandidateLogits] = []
    let vocabulary = 0..<Int32(head.value.rowCount)
    for (row, likeliest) in candidates.enumerated() {
      let ids =
        others[row].isEmpty
        ? likeliest
        : others[row].filter { vocabulary.contains($0) }.union(likeliest).sorted()
      let values = model.logits(
        tape.constant(hidden.rows(row..<row + 1)), ofTokens: ids
      ).value.cast(to: .float32)
      logits.append(CandidateLogits(ids: ids, values: try values.array(of: Float.self)))
    }
    return logits
  }
}

extension DType {
  /// Whether weights of `other` are multiplied by numbers of this type as they are.
  fileprivate func contains(_ other: DType) -> Bool {
    other == self || (self == .float32 && other == .bfloat16)
  }
}
