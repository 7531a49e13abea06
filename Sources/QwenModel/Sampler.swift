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
    let id: Int32
    if options.temperature > 0 {
      id = distribution(logits).token(at: random.uniform()) ?? Sampler.argmax(logits)
    } else {
      id = Sampler.argmax(processed(logits))
    }
    accept(id)
    return id
  }

  /// The same among `candidates`, where no others decide (``SamplingOptions/decisiveCount``).
  package mutating func next(_ candidates: CandidateLogits) -> Int32 {
    candidates.ids[Int(next(candidates.values))]
  }

  /// Adds a token that was chosen otherwise.
  package mutating func accept(_ id: Int32) {
    if options.changesLogits { history.append(id) }
  }

  private func processed(_ logits: [Float]) -> [Float] {
    guard options.changesLogits else { return logits }
    var logits = logits
    history.process(&logits, options)
    return logits
  }

  private static func argmax(_ logits: [Float]) -> Int32 {
    var (best, index) = (-Float.infinity, 0)
    for (id, logit) in logits.enumerated() where logit > best { (best, index) = (logit, id) }
    return Int32(index)
  }
}
