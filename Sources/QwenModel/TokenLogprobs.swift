// How likely the model found a token, before any setting of the sampler.

import Glibc

/// The log-probability of a chosen token and of the most likely ones.
public struct TokenLogprobs: Sendable, Hashable {
  /// A token with its log-probability.
  public struct Entry: Sendable, Hashable {
    /// The token.
    public let id: Int32
    /// log p, at most 0.
    public let logprob: Double
  }

  /// log p of the chosen token.
  public let logprob: Double
  /// The most likely tokens, most likely first.
  public let top: [Entry]

  /// log-softmax of `logits` [V] at `id` and at the `count` largest.
  init(_ logits: [Float], of id: Int32, top count: Int) {
    let best = logits.max() ?? 0
    let sum = logits.reduce(0.0) { $0 + exp(Double($1 - best)) }
    let logSum = Double(best) + log(sum)
    logprob = Double(logits[Int(id)]) - logSum
    guard count > 0, !logits.isEmpty else {
      top = []
      return
    }
    let threshold =
      count < logits.count ? TokenDistribution.kthLargest(logits, count) : -.infinity
    let candidates = logits.indices.filter { logits[$0] >= threshold }.sorted {
      logits[$0] == logits[$1] ? $0 < $1 : logits[$0] > logits[$1]
    }
    top = candidates.prefix(count).map {
      Entry(id: Int32($0), logprob: Double(logits[$0]) - logSum)
    }
  }
}
