// The tokens that may come next and how likely each is: transformers' warpers in transformers' order.

import Glibc

/// Candidates for the next token with their weights, which need not add up to 1.
package struct TokenDistribution {
  /// The candidates.
  package private(set) var ids: [Int32] = []
  /// A weight for each candidate; that of the most likely one is 1.
  package private(set) var weights: [Double] = []

  /// The distribution of `logits` [V] after temperature, top-k, top-p, min-p and typical-p. At least one candidate is left
  /// unless no logit is a number above −∞.
  package init(_ logits: [Float], _ options: SamplingOptions) {
    // 1. The k most likely, and whatever is as likely as the last of them.
    let isLimited = options.topK > 0 && options.topK < logits.count
    let threshold = isLimited ? TokenDistribution.kthLargest(logits, options.topK) : -.infinity
    let best = Double(logits.max() ?? 0)
    for (id, logit) in logits.enumerated() where logit >= threshold && logit > -.infinity {
      ids.append(Int32(id))
      // The difference first: divided by a small temperature the logits themselves may be infinite.
      let difference = Double(logit) - best
      weights.append(difference == 0 ? 1 : exp(difference / options.temperature))
    }
    if options.topP < 1 { keepNucleus(options.topP) }
    // A weight is the probability relative to the most likely token's.
    if options.minP > 0 { keep { $0 >= options.minP } }
    if options.typicalP < 1 { keepTypical(options.typicalP) }
  }

  /// The probability of each candidate.
  package var probabilities: [Double] {
    let total = weights.reduce(0, +)
    return weights.map { $0 / total }
  }

  /// The candidate at `position`, from 0 to below 1, of the cumulative distribution; nil without candidates.
  func token(at position: Double) -> Int32? {
    var target = position * weights.reduce(0, +)
    for (id, weight) in zip(ids, weights) {
      target -= weight
      if target < 0 { return id }
    }
    return weights.lastIndex { $0 > 0 }.map { ids[$0] }
  }

  /// Keeps the most likely tokens before which less than `share` has been collected.
  private mutating func keepNucleus(_ share: Double) {
    let total = weights.reduce(0, +)
    // Sorting a whole vocabulary takes longer than anything else here, and the nucleus is mostly small.
    var candidates: [(id: Int32, weight: Double)] = []
    for floor in [1e-2, 1e-4, 1e-6, 0] {
      candidates = zip(ids, weights).filter { $0.1 >= floor }.map { (id: $0.0, weight: $0.1) }
      if candidates.reduce(0, { $0 + $1.weight }) >= share * total { break }
    }
    candidates.sort { $0.weight == $1.weight ? $0.id < $1.id : $0.weight > $1.weight }
    var (collected, kept) = (0.0, 0)
    while kept < candidates.count && (kept == 0 || collected < share * total) {
      collected += candidates[kept].weight
      kept += 1
    }
    ids = candidates[..<kept].map(\.id)
    weights = candidates[..<kept].map(\.weight)
  }

  /// Keeps the tokens with |−log p − H| up to that at which `share` has been collected; H = −Σ p·log p.
  private mutating func keepTypical(_ share: Double) {
    let probabilities = probabilities
    let entropy = probabilities.reduce(0) { $1 > 0 ? $0 - $1 * log($1) : $0 }
    let distances = probabilities.map { ($0 > 0 ? -log($0) - entropy : .infinity).magnitude }
    let order = distances.indices.sorted {
      distances[$0] == distances[$1] ? $0 < $1 : distances[$0] < distances[$1]
    }
    var collected = 0.0
    var last = 0.0
    for index in order {
      collected += probabilities[index]
      last = distances[index]
      if collected >= share { break }
    }
    let kept = distances.indices.filter { distances[$0] <= last }
    (ids, weights) = (kept.map { ids[$0] }, kept.map { weights[$0] })
  }

  private mutating func keep(_ condition: (Double) -> Bool) {
    let kept = weights.indices.filter { condition(weights[$0]) }
    (ids, weights) = (kept.map { ids[$0] }, kept.map { weights[$0] })
  }

  /// The k-th largest value, from a heap of the k largest so far.
  static func kthLargest(_ values: [Float], _ k: Int) -> Float {
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
