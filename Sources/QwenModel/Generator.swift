// Continuing a text token by token, with a cache of keys and values.

import Autograd
public import Tensor

/// Generates with a model.
public struct Generator {
  /// What was generated, and how fast.
  public struct Output: Sendable {
    /// The new ids, ending with the stop token where one was produced.
    public var ids: [Int32]
    /// Tokens of the prompt.
    public var promptCount: Int
    /// Seconds for the prompt and for the tokens after it.
    public var promptSeconds, decodeSeconds: Double
    /// Whether the last id is a stop token.
    public var isStopped: Bool

    /// New tokens per second, prompt left out.
    public var tokensPerSecond: Double { Double(ids.count) / max(decodeSeconds, 1e-9) }
  }

  private let model: QwenModel
  private let stopIDs: Set<Int32>
  private let options: SamplingOptions

  /// Tokens of the prompt that go through the model at a time.
  private static let chunkSize = 512

  /// A generator that stops at any of `stopIDs`.
  public init(model: QwenModel, stopIDs: Set<Int32>, options: SamplingOptions) {
    self.model = model
    self.stopIDs = stopIDs
    self.options = options
  }

  /// Continues `prompt` by at most `maxNewTokens`. `stream` tells the random choices of one conversation from
  /// another's; `onToken` sees each id as it comes and may end generation by returning false.
  public func generate(
    prompt: [Int32], maxNewTokens: Int, stream: Int = 0, onToken: (Int32) -> Bool = { _ in true }
  ) throws(DeviceError) -> Output {
    precondition(!prompt.isEmpty, "generate: the prompt has no tokens")
    let clock = ContinuousClock()
    let start = clock.now
    let tape = Tape(mode: .inference)
    let device = Device(backend: model.reference.backend, preferredComputeDType: .float32)
    let cache = KVCache(
      layers: model.config.numHiddenLayers,
      capacity: prompt.count + min(maxNewTokens, 4096))
    var sampler = Sampler(options, stream: stream)
    var output = Output(
      ids: [], promptCount: prompt.count, promptSeconds: 0, decodeSeconds: 0, isStopped: false)

    var last: Tensor?
    for first in Swift.stride(from: 0, to: prompt.count, by: Generator.chunkSize) {
      let chunk = Array(prompt[first..<min(first + Generator.chunkSize, prompt.count)])
      last = advance(chunk, cache: cache, tape: tape, device: device)
    }
    var decodeStart = start
    while output.ids.count < maxNewTokens, let hidden = last {
      let logits = model.logits(tape.constant(hidden)).value  // [1, V]
      guard try logits.squaredNorm().item().isFinite else {
        throw .failed(
          call: "generation",
          detail:
            "the model's logits are not finite numbers (are its weights, or the adapter's, damaged?)"
        )
      }
      let id: Int32
      if options.temperature == 0 && options.repetitionPenalty == 1 {
        id = try logits.argmaxOfRows().array(of: Int32.self)[0]
      } else {
        id = sampler.next(
          try logits.cast(to: .float32).array(of: Float.self),
          after: options.repetitionPenalty == 1 ? [] : prompt + output.ids)
      }
      if output.ids.isEmpty {
        decodeStart = clock.now
        output.promptSeconds = seconds(decodeStart - start)
      }
      output.ids.append(id)
      output.isStopped = stopIDs.contains(id)
      if !onToken(id) || output.isStopped || output.ids.count == maxNewTokens { break }
      last = advance([id], cache: cache, tape: tape, device: device)
    }
    output.decodeSeconds = seconds(clock.now - decodeStart)
    return output
  }

  /// The hidden state [1, C] of the last of `ids`, which continue what is in the cache.
  private func advance(_ ids: [Int32], cache: KVCache, tape: Tape, device: Device) -> Tensor {
    let batch = TokenBatch(continuing: ids, from: cache.count, on: device)
    let hidden = model.hidden(batch, on: tape, cache: cache).value
    return hidden.rows(ids.count - 1..<ids.count)
  }

  private func seconds(_ duration: Duration) -> Double {
    Double(duration.components.seconds) + Double(duration.components.attoseconds) * 1e-18
  }
}
