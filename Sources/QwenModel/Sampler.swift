// Choosing the tokens of one sequence, one after another.

import Tensor

/// Draws one token after another, remembering what came before.
package struct Sampler {
  private let options: SamplingOptions
  private var random: RandomSequence
  private var history: TokenHistory

  /// A sampler of a sequence that begins with `prompt`; `stream` tells the random choices of one sequence from another's.
  package init(_ options: SamplingOptions, stream: Int, prompt: [Int32]) {
    self.options = options
    random = RandomSequence(RandomStream(seed: options.seed, purpose: .sampling, index: stream))
    history = TokenHistory(prompt, for: options)
  }

  /// The candidates for the token after `logits` [V]; for a temperature above 0.
  package func distribution(_ logits: [Float]) -> TokenDistribution {
    TokenDistribution(processed(logits), options)
  }

  /// The next token for `logits` [V], which becomes part of what came before.
  package mutating func next(_ logits: [Float]) -> Int32 {
    let id = choose(processed(logits))
    accept(id)
    return id
  }

  /// The same where `candidates` are all tokens that can decide (``decisive``).
  package mutating func next(_ candidates: CandidateLogits) -> Int32 {
    var logits = candidates.values
    if options.changesLogits {
      history.process(&logits, options) { candidates.place(of: $0) }
    }
    let id = candidates.ids[Int(choose(logits))]
    accept(id)
    return id
  }

  /// The tokens that decide what is chosen next: so many of the likeliest, as the model gives them, and those whose logits are changed
  /// before; nil where all may.
  var decisive: (count: Int, others: Set<Int32>)? {
    guard let count = options.candidateCount else { return nil }
    let others = options.changesLogits ? history.affected(by: options) : []
    // As many of the likeliest may be among the others.
    let (total, isTooLarge) = count.addingReportingOverflow(others.count)
    return isTooLarge ? nil : (total, others)
  }

  /// Adds a token that was chosen otherwise.
  package mutating func accept(_ id: Int32) {
    if options.changesLogits { history.append(id) }
  }

  private mutating func choose(_ logits: [Float]) -> Int32 {
    guard options.temperature > 0 else { return Sampler.argmax(logits) }
    let distribution = TokenDistribution(logits, options)
    return distribution.token(at: random.uniform()) ?? Sampler.argmax(logits)
  }

  private func processed(_ logits: [Float]) -> [Float] {
    guard options.changesLogits else { return logits }
    var logits = logits
    let indices = logits.indices
    history.process(&logits, options) { indices.contains(Int($0)) ? Int($0) : nil }
    return logits
  }

  private static func argmax(_ logits: [Float]) -> Int32 {
    var (best, index) = (-Float.infinity, 0)
    for (id, logit) in logits.enumerated() where logit > best { (best, index) = (logit, id) }
    return Int32(index)
  }
}
