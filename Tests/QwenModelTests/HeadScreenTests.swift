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
      {"model_type": "qwen3", "vocab_size": 70001, "hidden_size": 128, "intermediate_size": 96,
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

  /// The ids of every sequence.
  private func ids(
    _ model: QwenModel, _ requests: [DecodingRequest], count: Int = 1, screensHead: Bool
  ) throws -> [Int: [Int32]] {
    let decoder = BatchDecoder(model: model, screensHead: screensHead)
    for request in requests { _ = decoder.add(request, count: count) }
    var answers: [Int: [Int32]] = [:]
    while decoder.count > 0 {
      for token in try decoder.step() { answers[token.sequence, default: []].append(token.id) }
    }
    return answers
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
    let batches = [
      [request(.greedy)], [request(sampled)],
      [request(.greedy), request(sampled, stream: 1), request(cold, stream: 2)],
      // More than screens are for.
      (0..<6).map { request(.greedy, stream: $0) },
    ]
    for requests in batches {
      let screened = try ids(model, requests, screensHead: true)
      #expect(try screened == ids(model, requests, screensHead: false))
      #expect(screened.values.allSatisfy { $0.count == 40 })
    }
    let forked = try ids(model, [request(sampled)], count: 3, screensHead: true)
    #expect(try forked == ids(model, [request(sampled)], count: 3, screensHead: false))
    #expect(Set(forked.values).count == 3)
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
    for options in [repetition, reward, frequency, runs, bias] {
      let screened = try ids(model, [request(options)], screensHead: true)
      #expect(try screened == ids(model, [request(options)], screensHead: false))
    }
    #expect(try ids(model, [request(bias)], screensHead: true)[0]?.contains(60_000) == true)
    // Together, each with its own.
    let all = [repetition, frequency, runs].enumerated().map { request($1, stream: $0) }
    #expect(
      try ids(model, all, screensHead: true) == ids(model, all, screensHead: false))
  }

  @Test("log-probabilities and unlimited choice see all logits")
  func allLogits() throws {
    let model = try model(.bfloat16, isTied: true)
    let free = SamplingOptions(temperature: 2, topP: 1, topK: 0, seed: 1)
    #expect(
      try ids(model, [request(free)], screensHead: true)
        == ids(model, [request(free)], screensHead: false))
    var reported = request(.greedy)
    reported.topLogprobs = 2
    let decoder = BatchDecoder(model: model)
    _ = decoder.add(reported)
    while decoder.count > 0 {
      for token in try decoder.step() { #expect(token.logprobs?.top.count == 2) }
    }
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
    #expect(try ids(model, [request(.greedy)], screensHead: false)[0]?.first == second)
    model.headWeight.update { $0 = $0.scaled(by: .nan) }
    #expect(try next().end == .notFinite)
  }
}
