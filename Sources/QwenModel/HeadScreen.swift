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
  /// Steps in a row for which too many tokens were found, and for which nothing is to be looked for.
  private var (missCount, restCount) = (0, 0)
  /// Tokens to be decoded for which making a screen is worth while.
  private static let leastTokenCount = 24
  /// Misses in a row until there is a rest, and its length.
  private static let (patience, rest) = (8, 256)

  init(_ model: QwenModel) { self.model = model }

  /// Whether `rows` rows may get an answer: it is worth while to say what is wanted.
  func mayAnswer(rows: Int) -> Bool {
    if restCount > 0 {
      restCount -= 1
      return false
    }
    let head = model.headWeight
    return rows <= head.value.backend.screenedRowLimit && (version != head.version || screen != nil)
  }

  /// For each row of `hidden` [B, C] the logits of the `count` likeliest tokens, of the row's `others` and of some more; nil where all
  /// logits are as good. `remaining` is about how many tokens are still to come.
  func logits(
    after hidden: Tensor, count: Int, others: [Set<Int32>], remaining: Int, on tape: Tape
  ) throws(DeviceError) -> [CandidateLogits]? {
    let head = model.headWeight
    guard hidden.dtype.contains(head.value.dtype) else { return nil }
    if version != head.version {
      guard remaining >= HeadScreen.leastTokenCount else { return nil }
      screen = head.value.rowScreen()
      (version, missCount) = (head.version, 0)
    }
    guard let screen, screen.answers(rows: hidden.rowCount, count: count) else { return nil }
    guard let candidates = screen.candidates(for: hidden, count: count) else {
      missCount += 1
      // One more miss after a rest is followed by another.
      if missCount >= HeadScreen.patience { restCount = HeadScreen.rest }
      return nil
    }
    missCount = 0
    let vocabulary = 0..<Int32(head.value.rowCount)
    var logits: [CandidateLogits] = []
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

extension QwenModel {
  /// Scores of K tokens alone, without gradients for the head.  hidden [N, C] → [N, K]
  fileprivate func logits(_ hidden: Variable, ofTokens ids: [Int32]) -> Variable {
    let head = headWeight.value
    let device = Device(backend: head.backend, preferredComputeDType: .float32)
    let rows = head.gatheredRows(Tensor(ids, on: device))  // [K, C]
    return hidden.tape.record(LinearMap(hasBias: false), [hidden, hidden.tape.constant(rows)])
  }
}

extension DType {
  /// Whether weights of `other` are multiplied by numbers of this type as they are.
  fileprivate func contains(_ other: DType) -> Bool {
    other == self || (self == .float32 && other == .bfloat16)
  }
}
