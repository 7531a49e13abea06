// Continuing one text token by token: a batch of one sequence.

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

  private let decoder: BatchDecoder
  private let stopIDs: Set<Int32>
  private let options: SamplingOptions

  /// A generator that stops at any of `stopIDs`; `screensHead` is that of ``BatchDecoder``.
  public init(
    model: QwenModel, stopIDs: Set<Int32>, options: SamplingOptions, screensHead: Bool = true
  ) {
    decoder = BatchDecoder(model: model, screensHead: screensHead)
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
    var output = Output(
      ids: [], promptCount: prompt.count, promptSeconds: 0, decodeSeconds: 0, isStopped: false)
    guard maxNewTokens > 0 else { return output }
    var request = DecodingRequest(
      prompt: prompt, maxNewTokens: maxNewTokens, stopIDs: stopIDs, options: options)
    request.stream = stream
    let sequence = decoder.add(request)[0]
    defer { decoder.remove(sequence) }
    var decodeStart = start
    while decoder.count > 0 {
      guard let token = try decoder.step().first else { continue }
      guard token.end != .notFinite else { throw .notFinite }
      if output.ids.isEmpty {
        decodeStart = clock.now
        output.promptSeconds = (decodeStart - start).seconds
      }
      output.ids.append(token.id)
      output.isStopped = token.end == .stopToken
      if !onToken(token.id) || token.end != nil { break }
    }
    output.decodeSeconds = (clock.now - decodeStart).seconds
    return output
  }
}

extension DeviceError {
  /// Logits that are no numbers to choose by.
  package static let notFinite = DeviceError.failed(
    call: "generation",
    detail:
      "the model's logits are not finite numbers (are its weights, or the adapter's, damaged?)")
}

extension Duration {
  fileprivate var seconds: Double {
    Double(components.seconds) + Double(components.attoseconds) * 1e-18
  }
}
