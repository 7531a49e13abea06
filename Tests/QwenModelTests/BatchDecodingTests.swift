// Sequences decoded together are what they are alone.

import Glibc
import QwenModel
import Tensor
import Testing

@Suite("Batched decoding")
struct BatchDecodingTests {
  /// Steps a decoder until it is empty and collects what each sequence got.
  private func collect(
    _ decoder: BatchDecoder, into answers: inout [Int: [Int32]], steps: Int = .max
  ) throws {
    var left = steps
    while decoder.count > 0, left > 0 {
      for token in try decoder.step() { answers[token.sequence, default: []].append(token.id) }
      left -= 1
    }
  }

  private func prompt(_ index: Int, _ length: Int) -> [Int32] {
    (0..<length).map { Int32(($0 * (7 + 2 * index) + 3 * index) % 90) }
  }

  private func alone(_ model: QwenModel, _ request: DecodingRequest) throws -> [Int32] {
    try Generator(model: model, stopIDs: request.stopIDs, options: request.options).generate(
      prompt: request.prompt, maxNewTokens: request.maxNewTokens, stream: request.stream
    ).ids
  }

  @Test(
    "greedy ids are those of each sequence alone, whatever joins and leaves",
    arguments: Goldens.all)
  func neighbours(_ goldens: Goldens) throws {
    let model = try QwenModel.load(directory: goldens.directory)
    let requests = [1, 5, 33, 150, 2, 17, 70].enumerated().map { index, length in
      DecodingRequest(
        prompt: prompt(index, length), maxNewTokens: 3 + 5 * index, stopIDs: [], options: .greedy)
    }
    let decoder = BatchDecoder(
      model: model, promptRows: .init(besideAnswers: 16, alone: 40))
    var answers: [Int: [Int32]] = [:]
    var numbers: [Int] = []
    for request in requests {
      numbers += decoder.add(request)
      try collect(decoder, into: &answers, steps: 2)
    }
    try collect(decoder, into: &answers)
    for (number, request) in zip(numbers, requests) {
      #expect(try answers[number] == alone(model, request))
    }
  }

  @Test("each sequence has its own sampler, stop tokens and length")
  func settings() throws {
    let model = try QwenModel.load(directory: Goldens.all[2].directory)
    let free = try alone(
      model, DecodingRequest(prompt: [5, 6], maxNewTokens: 9, stopIDs: [], options: .greedy))
    let stop = try #require(free.dropFirst(3).first)
    var hot = SamplingOptions(temperature: 3, topP: 1, topK: 0, seed: 9)
    var requests = [
      DecodingRequest(prompt: [5, 6], maxNewTokens: 9, stopIDs: [stop], options: .greedy),
      DecodingRequest(prompt: [5, 6], maxNewTokens: 2, stopIDs: [], options: .greedy),
      DecodingRequest(prompt: [5, 6], maxNewTokens: 9, stopIDs: [], options: hot),
    ]
    hot.repetitionPenalty = 1.5
    requests.append(
      DecodingRequest(prompt: [5, 6], maxNewTokens: 9, stopIDs: [], options: hot))
    requests[3].stream = 4
    let decoder = BatchDecoder(model: model)
    let numbers = requests.flatMap { decoder.add($0) }
    var answers: [Int: [Int32]] = [:]
    try collect(decoder, into: &answers)
    for (number, request) in zip(numbers, requests) {
      #expect(try answers[number] == alone(model, request))
    }
    #expect(answers[numbers[0]]?.last == stop && answers[numbers[1]]?.count == 2)
  }

  @Test("several answers to one prompt share it and differ by their streams")
  func forks() throws {
    let model = try QwenModel.load(directory: Goldens.all[0].directory)
    var request = DecodingRequest(
      prompt: prompt(1, 40), maxNewTokens: 12, stopIDs: [],
      options: SamplingOptions(temperature: 4, topP: 1, topK: 0, seed: 3))
    let decoder = BatchDecoder(model: model)
    let numbers = decoder.add(request, count: 4)
    #expect(decoder.count == 4)
    // The first is not wanted before the prompt is through; the others are.
    decoder.remove(numbers[0])
    #expect(decoder.count == 3)
    var answers: [Int: [Int32]] = [:]
    try collect(decoder, into: &answers)
    #expect(answers[numbers[0]] == nil)
    for (stream, number) in numbers.enumerated().dropFirst() {
      request.stream = stream
      #expect(try answers[number] == alone(model, request))
    }
    #expect(Set(answers.values).count == 3)
  }

  @Test("a prompt that begins like a past sequence takes up its keys and values")
  func prefixes() throws {
    let model = try QwenModel.load(directory: Goldens.all[2].directory)
    let decoder = BatchDecoder(model: model, keptPrefixTokenCount: 500)
    var answers: [Int: [Int32]] = [:]
    var history = prompt(2, 60)
    for turn in 0..<4 {
      let request = DecodingRequest(
        prompt: history, maxNewTokens: 10, stopIDs: [], options: .greedy)
      let number = decoder.add(request)[0]
      try collect(decoder, into: &answers)
      let answer = try #require(answers[number])
      #expect(try answer == alone(model, request))
      // The same beginning once more, another continuation, then the dialogue goes on.
      let other = DecodingRequest(
        prompt: history.dropLast(3) + [1, 2], maxNewTokens: 5, stopIDs: [], options: .greedy)
      let branch = decoder.add(other)[0]
      try collect(decoder, into: &answers)
      #expect(try answers[branch] == alone(model, other))
      history += answer + prompt(turn, 7)
    }
    // Exactly the same prompt: its last token still goes through the model.
    let last = DecodingRequest(prompt: history, maxNewTokens: 4, stopIDs: [], options: .greedy)
    for _ in 0..<2 {
      let number = decoder.add(last)[0]
      try collect(decoder, into: &answers)
      #expect(try answers[number] == alone(model, last))
    }
  }

  @Test("what is kept of many short sequences takes the memory of its tokens alone")
  func keptMemory() async {
    // In a process of its own: other tests use the same pool at the same time.
    await #expect(processExitsWith: .success) {
      let model = try QwenModel.load(directory: Goldens.all[2].directory)
      let config = model.config
      let bytesPerToken =
        2 * config.numHiddenLayers * config.numKeyValueHeads * config.headDim
        * MemoryLayout<Float>.size
      let decoder = BatchDecoder(model: model, keptPrefixTokenCount: 500)
      let before = Device.cpu.memory.liveByteCount
      for index in 0..<200 as Range<Int32> {
        let request = DecodingRequest(
          prompt: [index % 90, index / 90] + (2..<24), maxNewTokens: 1024,
          stopIDs: Set(0..<Int32(config.vocabSize)), options: .greedy)
        _ = decoder.add(request)
        while decoder.count > 0 { _ = try decoder.step() }
      }
      let kept = Device.cpu.memory.liveByteCount - before
      precondition(kept > 400 * bytesPerToken, "\(kept) bytes")
      precondition(kept < 600 * bytesPerToken, "\(kept) bytes")
      withExtendedLifetime((model, decoder)) {}
    }
  }

  @Test("log-probabilities are those of the model, not of the sampler, most likely first")
  func logprobs() throws {
    let model = try QwenModel.load(directory: Goldens.all[2].directory)
    var request = DecodingRequest(
      prompt: [4, 8, 15], maxNewTokens: 3, stopIDs: [], options: .greedy)
    request.topLogprobs = model.config.vocabSize
    let decoder = BatchDecoder(model: model)
    _ = decoder.add(request)
    while decoder.count > 0 {
      for token in try decoder.step() {
        let logprobs = try #require(token.logprobs)
        #expect(logprobs.top.first?.id == token.id)
        #expect(logprobs.top.first?.logprob == logprobs.logprob)
        #expect(zip(logprobs.top, logprobs.top.dropFirst()).allSatisfy { $0.logprob >= $1.logprob })
        let total = logprobs.top.reduce(0.0) { $0 + exp($1.logprob) }
        #expect((total - 1).magnitude < 1e-6)
      }
    }
  }

  @Test("a running answer gets a token every step while a long prompt comes in")
  func noStall() throws {
    let model = try QwenModel.load(directory: Goldens.all[2].directory)
    let decoder = BatchDecoder(model: model, promptRows: .init(besideAnswers: 16, alone: 64))
    let first = decoder.add(
      DecodingRequest(prompt: [1, 2, 3], maxNewTokens: 100, stopIDs: [], options: .greedy))[0]
    _ = try decoder.step()
    let second = decoder.add(
      DecodingRequest(prompt: prompt(3, 160), maxNewTokens: 4, stopIDs: [], options: .greedy))[0]
    var steps = 0
    while true {
      let tokens = try decoder.step()
      steps += 1
      #expect(tokens.contains { $0.sequence == first })
      if tokens.contains(where: { $0.sequence == second }) { break }
    }
    #expect(steps == 10)
    decoder.remove(first)
    decoder.remove(second)
    #expect(try decoder.count == 0 && decoder.step().isEmpty)
  }
}
