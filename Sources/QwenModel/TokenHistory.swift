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

  /// The tokens whose logits `process` may change.
  func affected(by options: SamplingOptions) -> Set<Int32> {
    var ids = Set(options.logitBias.keys)
    if options.repetitionPenalty != 1 { ids.formUnion(seen) }
    if options.frequencyPenalty != 0 || options.presencePenalty != 0 { ids.formUnion(counts.keys) }
    ids.formUnion(banned)
    return ids
  }

  /// What would complete a run that was there before.
  private var banned: [Int32] {
    guard ngramSize > 0, tokens.count >= ngramSize - 1 else { return [] }
    return followers[Array(tokens.suffix(ngramSize - 1))] ?? []
  }

  /// Applies bias, penalties and the ban of repeated runs to `logits`, where that of a token is at `place`, or not there.
  func process(
    _ logits: inout [Float], _ options: SamplingOptions, at place: (Int32) -> Int?
  ) {
    for (id, bias) in options.logitBias {
      if let index = place(id) { logits[index] += Float(bias) }
    }
    if options.repetitionPenalty != 1 {
      let penalty = Float(options.repetitionPenalty)
      for id in seen {
        guard let index = place(id) else { continue }
        logits[index] = logits[index] < 0 ? logits[index] * penalty : logits[index] / penalty
      }
    }
    if options.frequencyPenalty != 0 || options.presencePenalty != 0 {
      for (id, count) in counts {
        guard let index = place(id) else { continue }
        logits[index] -= Float(options.frequencyPenalty * Double(count) + options.presencePenalty)
      }
    }
    for id in banned {
      if let index = place(id) { logits[index] = -.infinity }
    }
  }
}
