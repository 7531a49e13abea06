// Decoding without all logits chooses the tokens that it chooses with them.

import Autograd
import NN
import QwenModel
import Tensor
import Testing

@Suite("Screened heads")
struct HeadScreenTests {
  /// A model with a vocabulary that is large enough.
  private func model(_ dtype: DType, isTied: Bool) throws -> QwenModel {
    let json = """
      {"model_type": "qwen3", "vocab_size": 70001, "hidden_size": 256, "intermediate_size": 96,
      "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 32,
      "tie_word_embeddings": \(isTied)}
      """
    let model = QwenModel(try QwenConfig(json: Array(json.utf8)))
    for (index, (_, parameter)) in model.namedParameters().enumerated() {
      parameter.value = .normal(
        parameter.shape, standardDeviation: 0.2, dtype: dtype,
        stream: RandomStream(seed: 2, purpose: .test, index: index), on: .cpu)
    }
    return model
  }

  /// The ids of every sequence, and of how many steps the tokens were chosen without all logits.
  private func answers(
    _ model: QwenModel, _ requests: [DecodingRequest], count: Int, screensHead: Bool
  ) throws -> (ids: [Int: [Int32]], screenedSteps: Int) {
    let decoder = BatchDecoder(model: model, screensHead: screensHead)
    for request in requests { _ = decoder.add(request, count: count) }
    var answers: [Int: [Int32]] = [:]
    while decoder.count > 0 {
      for token in try decoder.step() { answers[token.sequence, default: []].append(token.id) }
    }
    return (answers, decoder.screenedStepCount)
  }

  /// Requires that ids are those of choices among all logits, and that so many steps did without these.
  private func verify(
    _ model: QwenModel, _ requests: [DecodingRequest], count: Int = 1, screenedSteps: Range<Int>,
    _ what: String = ""
  ) throws {
    let screened = try answers(model, requests, count: count, screensHead: true)
    let plain = try answers(model, requests, count: count, screensHead: false)
    #expect(screened.ids == plain.ids, "\(what)")
    #expect(screened.ids.values.allSatisfy { $0.count == 40 }, "\(what)")
    #expect(screenedSteps.contains(screened.screenedSteps), "\(what): \(screened.screenedSteps)")
    #expect(plain.screenedSteps == 0)
  }

  private func request(_ options: SamplingOptions, stream: Int = 0) -> DecodingRequest {
    var request = DecodingRequest(
      prompt: [5, 69_000, 17 + Int32(stream)], maxNewTokens: 40, stopIDs: [], options: options)
    request.stream = stream
    return request
  }

  @Test("ids are the same", arguments: [DType.float32, .bfloat16], [true, false])
  func sameIDs(_ dtype: DType, _ isTied: Bool) throws {
    let model = try model(dtype, isTied: isTied)
    let sampled = SamplingOptions(temperature: 3, topP: 0.95, topK: 20, seed: 4)
    let cold = SamplingOptions(temperature: 0.5, topP: 1, topK: 1, seed: 4)
    try verify(model, [request(.greedy)], screenedSteps: 40..<41)
    try verify(model, [request(sampled)], screenedSteps: 36..<41)
    try verify(
      model, [request(.greedy), request(sampled, stream: 1), request(cold, stream: 2)],
      screenedSteps: 36..<41)
    // More than screens are for.
    try verify(model, (0..<6).map { request(.greedy, stream: $0) }, screenedSteps: 0..<1)
    // Forks, of which the first step is one row.
    try verify(model, [request(sampled)], count: 3, screenedSteps: 36..<41)
  }

  @Test("penalties, bias and bans choose the same")
  func changedLogits() throws {
    let model = try model(.bfloat16, isTied: true)
    var repetition = SamplingOptions.greedy
    repetition.repetitionPenalty = 1.3
    var reward = SamplingOptions(temperature: 2, topP: 0.9, topK: 20, seed: 6)
    reward.repetitionPenalty = 0.5
    var frequency = SamplingOptions(temperature: 1, topP: 1, topK: 5, seed: 7)
    (frequency.frequencyPenalty, frequency.presencePenalty) = (0.7, -1)
    var runs = SamplingOptions.greedy
    runs.noRepeatNgramSize = 2
    var bias = SamplingOptions.greedy
    bias.logitBias = [17: -100, 60_000: 30, 70_001: 200, -3: 200]
    for (index, options) in [repetition, reward, frequency, runs, bias].enumerated() {
      try verify(model, [request(options)], screenedSteps: 25..<41, "options \(index)")
    }
    let biased = try answers(model, [request(bias)], count: 1, screensHead: true).ids
    #expect(biased[0]?.contains(60_000) == true)
    // Together, each with its own.
    let all = [repetition, frequency, runs].enumerated().map { request($1, stream: $0) }
    try verify(model, all, screenedSteps: 20..<41)
  }

  @Test("log-probabilities and unlimited choice see all logits")
  func allLogits() throws {
    let model = try model(.bfloat16, isTied: true)
    let free = SamplingOptions(temperature: 2, topP: 1, topK: 0, seed: 1)
    try verify(model, [request(free)], screenedSteps: 0..<1)
    var reported = request(.greedy)
    reported.topLogprobs = 2
    let decoder = BatchDecoder(model: model)
    _ = decoder.add(reported)
    while decoder.count > 0 {
      for token in try decoder.step() { #expect(token.logprobs?.top.count == 2) }
    }
    #expect(decoder.screenedStepCount == 0)
  }

  @Test("numbers beyond all vocabularies and lengths are all logits, no end of the program")
  func hugeNumbers() throws {
    let model = try model(.bfloat16, isTied: true)
    let decoder = BatchDecoder(model: model)
    for stream in 0..<2 {
      var options = SamplingOptions(temperature: 1, topP: 1, topK: .max, seed: 1)
      options.logitBias = [5: 1]
      var request = request(stream == 0 ? options : .greedy, stream: stream)
      request.maxNewTokens = .max
      _ = decoder.add(request)
    }
    for _ in 0..<3 { #expect(try decoder.step().count == 2) }
    #expect(decoder.screenedStepCount == 0)
  }

  @Test("many neighbours for a while do not end screening")
  func neighbours() throws {
    let decoder = BatchDecoder(model: try model(.bfloat16, isTied: true))
    let ids = (0..<6).flatMap { decoder.add(request(.greedy, stream: $0)) }
    for _ in 0..<12 { #expect(try decoder.step().count == 6) }
    #expect(decoder.screenedStepCount == 0)
    for id in ids.dropFirst() { decoder.remove(id) }
    for _ in 0..<4 { #expect(try decoder.step().count == 1) }
    #expect(decoder.screenedStepCount == 4)
  }

  @Test("a head that changes is screened anew, and one that is not finite is noticed")
  func changes() throws {
    let model = try model(.float32, isTied: false)
    let decoder = BatchDecoder(model: model)
    func next() throws -> DecodedToken {
      let id = decoder.add(request(.greedy))[0]
      defer { decoder.remove(id) }
      return try #require(try decoder.step().first)
    }
    let first = try next().id
    model.headWeight.update { $0 = $0.scaled(by: -1) }
    let second = try next().id
    #expect(first != second)
    let plain = try answers(model, [request(.greedy)], count: 1, screensHead: false).ids
    #expect(plain[0]?.first == second && decoder.screenedStepCount == 2)
    model.headWeight.update { $0 = $0.scaled(by: .nan) }
    #expect(try next().end == .notFinite)
  }
}
