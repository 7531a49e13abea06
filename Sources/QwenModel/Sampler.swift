// Choosing the next token from its logits, with transformers' processors in transformers' order.

import Glibc
import Tensor

/// How tokens are chosen.
public struct SamplingOptions: Sendable, Hashable {
  /// Divides the logits; 0 takes the most likely token.
  public var temperature: Double
  /// Keeps the most likely tokens whose probabilities add up to this; 1 keeps all.
  public var topP: Double
  /// Keeps so many of the most likely tokens; 0 keeps all.
  public var topK: Int
  /// Keeps tokens at least so likely, relative to the most likely one; 0 keeps all.
  public var minP: Double
  /// Divides positive and multiplies negative logits of tokens that are there already; 1 changes nothing.
  public var repetitionPenalty: Double
  /// Seeds the choice.
  public var seed: UInt64

  /// Qwen's usual settings.
  public init(
    temperature: Double = 0.7, topP: Double = 0.8, topK: Int = 20, minP: Double = 0,
    repetitionPenalty: Double = 1, seed: UInt64 = 42
  ) {
    self.temperature = temperature
    self.topP = topP
    self.topK = topK
    self.minP = minP
    self.repetitionPenalty = repetitionPenalty
    self.seed = seed
  }

  /// The most likely token, always.
  public static let greedy = SamplingOptions(temperature: 0, topP: 1, topK: 0)
}

/// Draws one token after another.
struct Sampler {
  private let options: SamplingOptions
  private var random: RandomSequence

  init(_ options: SamplingOptions, stream index: Int) {
    self.options = options
    random = RandomSequence(RandomStream(seed: options.seed, purpose: .sampling, index: index))
  }

  /// The next token for `logits` [V], given everything before it.
  mutating func next(_ logits: [Float], after context: some Sequence<Int32>) -> Int32 {
    var logits = logits
    if options.repetitionPenalty != 1 {
      for id in Set(context) where Int(id) < logits.count {
        let logit = logits[Int(id)]
        let penalty = Float(options.repetitionPenalty)
        logits[Int(id)] = logit < 0 ? logit * penalty : logit / penalty
      }
    }
    guard options.temperature > 0 else { return Sampler.argmax(logits) }
    // 1. The k most likely, most likely first; ties by id, so that the order is defined.
    var candidates: [(id: Int32, logit: Double)] = []
    let limit = options.topK > 0 ? min(options.topK, logits.count) : logits.count
    let threshold = limit < logits.count ? Sampler.kthLargest(logits, limit) : -.infinity
    for (id, logit) in logits.enumerated() where logit >= threshold && logit > -.infinity {
      candidates.append((Int32(id), Double(logit)))
    }
    candidates.sort { $0.logit == $1.logit ? $0.id < $1.id : $0.logit > $1.logit }
    guard let best = candidates.first else { return Sampler.argmax(logits) }
    // The difference first: divided by a small temperature the logits themselves may be infinite.
    var weights = candidates.map {
      $0.logit == best.logit ? 1 : exp(($0.logit - best.logit) / options.temperature)
    }
    // 2. The nucleus: tokens before which less than topP has been collected.
    if options.topP < 1 {
      let total = weights.reduce(0, +)
      var (collected, kept) = (0.0, 0)
      while kept < weights.count && (kept == 0 || collected < options.topP * total) {
        collected += weights[kept]
        kept += 1
      }
      weights.removeSubrange(kept...)
    }
    // 3. Not too unlikely beside the best (whose weight is 1).
    if options.minP > 0 {
      weights.removeSubrange((weights.firstIndex { $0 < options.minP } ?? weights.count)...)
    }
    var target = random.uniform() * weights.reduce(0, +)
    for (index, weight) in weights.enumerated() {
      target -= weight
      if target < 0 { return candidates[index].id }
    }
    return candidates[max(0, weights.count - 1)].id
  }

  private static func argmax(_ logits: [Float]) -> Int32 {
    var (best, index) = (-Float.infinity, 0)
    for (id, logit) in logits.enumerated() where logit > best { (best, index) = (logit, id) }
    return Int32(index)
  }

  /// The k-th largest value, from a heap of the k largest so far.
  private static func kthLargest(_ values: [Float], _ k: Int) -> Float {
    var heap = Array(values.prefix(k))
    func siftDown(_ start: Int) {
      var parent = start
      while true {
        var child = 2 * parent + 1
        if child >= heap.count { return }
        if child + 1 < heap.count && heap[child + 1] < heap[child] { child += 1 }
        if heap[parent] <= heap[child] { return }
        heap.swapAt(parent, child)
        parent = child
      }
    }
    for start in stride(from: heap.count / 2 - 1, through: 0, by: -1) { siftDown(start) }
    for value in values.dropFirst(k) where value > heap[0] {
      heap[0] = value
      siftDown(0)
    }
    return heap[0]
  }
}
