// The tokens that came before, as the penalties want to know them; kept up to date token by token.

/// Prompt and generated tokens of one sequence.
struct TokenHistory {
  private let ngramSize: Int
  private var tokens: [Int32]
  private var seen: Set<Int32> = []
  private var counts: [Int32: Int] = [:]
  /// What followed each run of n − 1 tokens.
  private var followers: [[Int32]: [Int32]] = [:]

  /// The history of a sequence that begins with `prompt`; it keeps what `options` need.
  init(_ prompt: [Int32], for options: SamplingOptions) {
    ngramSize = options.noRepeatNgramSize
    tokens = ngramSize > 0 ? prompt : []
    if options.repetitionPenalty != 1 { seen = Set(prompt) }
    if ngramSize > 0 {
      for end in stride(from: ngramSize, through: tokens.count, by: 1) { addNgram(endingAt: end) }
    }
  }

  /// Adds a generated token.
  mutating func append(_ id: Int32) {
    seen.insert(id)
    counts[id, default: 0] += 1
    guard ngramSize > 0 else { return }
    tokens.append(id)
    if tokens.count >= ngramSize { addNgram(endingAt: tokens.count) }
  }

  private mutating func addNgram(endingAt end: Int) {
    let start = Array(tokens[(end - ngramSize)..<(end - 1)])
    followers[start, default: []].append(tokens[end - 1])
  }

  /// Applies bias, penalties and the ban of repeated runs to `logits` [V].
  func process(_ logits: inout [Float], _ options: SamplingOptions) {
    for (id, bias) in options.logitBias where logits.indices.contains(Int(id)) {
      logits[Int(id)] += Float(bias)
    }
    if options.repetitionPenalty != 1 {
      let penalty = Float(options.repetitionPenalty)
      for id in seen where logits.indices.contains(Int(id)) {
        let logit = logits[Int(id)]
        logits[Int(id)] = logit < 0 ? logit * penalty : logit / penalty
      }
    }
    if options.frequencyPenalty != 0 || options.presencePenalty != 0 {
      for (id, count) in counts where logits.indices.contains(Int(id)) {
        logits[Int(id)] -= Float(options.frequencyPenalty * Double(count) + options.presencePenalty)
      }
    }
    if ngramSize > 0, tokens.count >= ngramSize - 1 {
      for id in followers[Array(tokens.suffix(ngramSize - 1))] ?? []
      where logits.indices.contains(Int(id)) {
        logits[Int(id)] = -.infinity
      }
    }
  }
}
