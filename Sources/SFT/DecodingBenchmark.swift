// How fast this machine generates text: random prompts, continued greedily.

import Autograd
public import QwenModel
public import Tensor

/// Times the decoding of random prompts.
public struct DecodingBenchmark: Sendable {
  /// What was measured.
  public struct Result: Sendable {
    /// Tokens of the prompts per second, until every sequence has its first token.
    public var promptTokensPerSecond = 0.0
    /// Tokens of all sequences per second from then on.
    public var decodeTokensPerSecond = 0.0
  }

  /// Tokens of each prompt.
  public var promptTokens = 128
  /// Tokens of each answer; there is a rate from two on.
  public var newTokens = 64
  /// Sequences that are decoded together.
  public var sequences = 1
  /// Whether the head is screened, as ``BatchDecoder`` does it.
  public var screensHead = true

  /// The defaults of `bench`.
  public init() {}

  /// Runs twice, and gives the best rates: weights that a file holds come into memory in the first run.
  /// Traps where there is no prompt.
  public func run(_ model: QwenModel) throws(DeviceError) -> Result {
    precondition(sequences > 0 && promptTokens > 0, "DecodingBenchmark: no prompt")
    let decoder = BatchDecoder(model: model, screensHead: screensHead)
    var random = RandomSequence(RandomStream(seed: 42, purpose: .test))
    let vocabulary = Int32(max(1, model.config.vocabSize - 1000))
    let prompts = (0..<sequences).map { _ in
      (0..<promptTokens).map { _ in Int32.random(in: 0..<vocabulary, using: &random) }
    }
    var best = Result()
    for _ in 0..<2 {
      let result = try run(prompts, decoder)
      best.promptTokensPerSecond = max(best.promptTokensPerSecond, result.promptTokensPerSecond)
      best.decodeTokensPerSecond = max(best.decodeTokensPerSecond, result.decodeTokensPerSecond)
    }
    return best
  }

  private func run(_ prompts: [[Int32]], _ decoder: BatchDecoder) throws(DeviceError) -> Result {
    let clock = ContinuousClock()
    // None ends before all have been measured: first ones go on while the prompts of the last come in.
    let ids = prompts.flatMap {
      decoder.add(
        DecodingRequest(prompt: $0, maxNewTokens: 1 << 30, stopIDs: [], options: .greedy))
    }
    defer { for id in ids { decoder.remove(id) } }
    let start = clock.now
    var waiting = Set(ids)
    while !waiting.isEmpty {
      for token in try step(decoder) { waiting.remove(token.sequence) }
    }
    let middle = clock.now
    let steps = max(newTokens - 1, 1)
    for _ in 0..<steps { _ = try step(decoder) }
    let seconds = max((clock.now - middle).inSeconds, 1e-9)
    return Result(
      promptTokensPerSecond: Double(promptTokens * ids.count) / (middle - start).inSeconds,
      decodeTokensPerSecond: Double(steps * ids.count) / seconds)
  }

  private func step(_ decoder: BatchDecoder) throws(DeviceError) -> [DecodedToken] {
    let tokens = try decoder.step()
    if tokens.contains(where: { $0.end == .notFinite }) { throw .notFinite }
    return tokens
  }
}
