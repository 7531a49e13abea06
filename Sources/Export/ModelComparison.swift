// Two models on the same rows: how far apart their scores and their predictions are.

import Glibc
package import SFT

/// What the scores of a model differ by from those of a reference, over the trained tokens of rows.
package struct ModelComparison: Sendable, Hashable {
  /// Rows, and positions at which a trained token is predicted.
  package private(set) var rowCount = 0, tokenCount = 0
  /// The greatest change of a score.
  package private(set) var maximalLogitChange = 0.0
  private var logitChangeSum = 0.0
  private var logitCount = 0
  private var divergenceSum = 0.0
  /// The greatest Kullback–Leibler divergence Σ p·log(p / q) of a position, p the reference's probabilities.
  package private(set) var maximalDivergence = 0.0
  private var agreementCount = 0

  /// The mean change of a score.
  package var meanLogitChange: Double { logitChangeSum / Double(max(1, logitCount)) }
  /// The mean Kullback–Leibler divergence of a position, in nats.
  package var meanDivergence: Double { divergenceSum / Double(max(1, tokenCount)) }
  /// The share of positions at which both find the same token the most likely.
  package var topAgreement: Double { Double(agreementCount) / Double(max(1, tokenCount)) }

  /// Tokens, and scores, that are worked on at a time.
  private static let tokensPerPass = 1024
  private static let scoresPerPass = 1 << 26

  /// Runs both models on `rows`; those without a trained token count for nothing.
  package init(of candidate: StreamedModel, with reference: StreamedModel, on rows: [EncodedRow])
    throws(ExportError)
  {
    let useful = rows.filter { $0.trainedTokenCount > 0 }
    var start = 0
    while start < useful.count {
      var (end, tokens, positions) = (start, 0, [Int]())
      while end < useful.count {
        let row = useful[end]
        let found = row.labels.indices.dropFirst().filter {
          row.labels[$0] != EncodedRow.ignoredLabel
        }.map { tokens + $0 - 1 }
        if end > start
          && (tokens + row.inputIDs.count > Self.tokensPerPass
            || (positions.count + found.count) * reference.vocabSize > Self.scoresPerPass)
        {
          break
        }
        positions += found
        tokens += row.inputIDs.count
        end += 1
      }
      try add(useful[start..<end], positions, candidate, reference)
      start = end
    }
  }

  private mutating func add(
    _ rows: ArraySlice<EncodedRow>, _ positions: [Int], _ candidate: StreamedModel,
    _ reference: StreamedModel
  ) throws(ExportError) {
    let size = reference.vocabSize
    for row in rows {
      for id in row.inputIDs where id < 0 || Int(id) >= size {
        throw .refused(
          path: "\(row.file):\(row.line)",
          problem: "token \(id) is beyond the vocabulary of \(size)")
      }
    }
    let documents = rows.map(\.inputIDs)
    let expected = try reference.logits(documents, at: positions)
    let found = try candidate.logits(documents, at: positions)
    rowCount += rows.count
    expected.withUnsafeBufferPointer { p in
      found.withUnsafeBufferPointer { q in
        for index in positions.indices {
          let range = index * size..<(index + 1) * size
          add(UnsafeBufferPointer(rebasing: p[range]), UnsafeBufferPointer(rebasing: q[range]))
        }
      }
    }
  }

  private mutating func add(_ p: UnsafeBufferPointer<Float>, _ q: UnsafeBufferPointer<Float>) {
    tokenCount += 1
    logitCount += p.count
    var change = 0.0
    var (bestP, bestQ) = (0, 0)
    for i in p.indices {
      let difference = abs(Double(p[i]) - Double(q[i]))
      change += difference
      // NaN must not vanish in a comparison.
      if !(difference <= maximalLogitChange) { maximalLogitChange = difference }
      if p[i] > p[bestP] { bestP = i }
      if q[i] > q[bestQ] { bestQ = i }
    }
    logitChangeSum += change
    if bestP == bestQ { agreementCount += 1 }
    let (sumP, sumQ) = (Self.logSum(p, bestP), Self.logSum(q, bestQ))
    var divergence = 0.0
    for i in p.indices {
      let logP = Double(p[i]) - sumP
      divergence += exp(logP) * (logP - (Double(q[i]) - sumQ))
    }
    // Rounding can leave a little less than 0.
    divergence = divergence < 0 ? 0 : divergence
    divergenceSum += divergence
    if !(divergence <= maximalDivergence) { maximalDivergence = divergence }
  }

  private static func logSum(_ x: UnsafeBufferPointer<Float>, _ best: Int) -> Double {
    let top = Double(x[best])
    var sum = 0.0
    for value in x { sum += exp(Double(value) - top) }
    return top + log(sum)
  }
}
