// Loss and accuracy on held-out rows, a few rows at a time; logits never exist whole.

import Autograd
public import QwenModel
public import Tensor

/// Evaluates a model.
public struct Evaluator {
  private let model: QwenModel
  private let device: Device

  /// Tokens that go through the model at a time, unless a single row has more.
  private static let tokensPerPass = 1024

  /// An evaluator of `model`, adapters included where they are enabled.
  public init(model: QwenModel, on device: Device) {
    self.model = model
    self.device = device
  }

  /// Evaluates `rows`; `onRow` gets the log-probabilities of the trained tokens of every row, in order.
  public func evaluate(
    _ rows: [EncodedRow],
    onRow: (_ index: Int, _ logProbabilities: [Double]) throws -> Void = { _, _ in }
  ) throws -> Evaluation {
    var result = Evaluation()
    var start = 0
    while start < rows.count {
      var (end, tokens) = (start, 0)
      while end < rows.count
        && (end == start || tokens + rows[end].inputIDs.count <= Evaluator.tokensPerPass)
      {
        tokens += rows[end].inputIDs.count
        end += 1
      }
      try evaluate(rows[start..<end], &result, onRow)
      start = end
    }
    return result
  }

  private func evaluate(
    _ rows: ArraySlice<EncodedRow>, _ result: inout Evaluation,
    _ onRow: (Int, [Double]) throws -> Void
  ) throws {
    for row in rows {
      for id in row.inputIDs where id < 0 || Int(id) >= model.config.vocabSize {
        throw TrainingError.tokenOutOfRange(
          id: Int(id), vocabulary: model.config.vocabSize, place: "\(row.file):\(row.line)")
      }
    }
    // Rows that train nothing cost nothing.
    let useful = rows.filter { $0.trainedTokenCount > 0 }
    var nll: [Double] = []
    if let batch = TrainingBatch(Array(useful), on: device) {
      let tape = Tape(mode: .inference)
      let hidden = model.hidden(batch.tokens, on: tape)
      let (_, statistics) = linearCrossEntropy(
        hidden: hidden, weight: tape.leaf(model.headWeight), rows: batch.rows,
        targets: batch.targets, scale: 1)
      nll = try statistics.nll.doubles()
      if let position = nll.firstIndex(where: { !$0.isFinite }) {
        throw TrainingError.predictionNotFinite(place: place(of: position, in: useful))
      }
      let correct = try statistics.isCorrect.array(of: UInt8.self).reduce(0) { $0 + Int($1) }
      result.add(nll, correct: correct)
    }
    var offset = 0
    for index in rows.indices {
      let count = rows[index].trainedTokenCount
      try onRow(index, nll[offset..<offset + count].map { -$0 })
      offset += count
    }
  }

  /// File and line of the row to which trained token `position` of `rows` belongs.
  private func place(of position: Int, in rows: [EncodedRow]) -> String {
    var first = 0
    for row in rows {
      first += row.trainedTokenCount
      if position < first { return "\(row.file):\(row.line)" }
    }
    preconditionFailure("place: token \(position) of \(first)")
  }
}
