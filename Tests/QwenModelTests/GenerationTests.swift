// Greedy generation against transformers, and the sampler's promises.

import OrderedJSON
import QwenModel
import Tensor
import Testing

@Suite("Generation")
struct GenerationTests {
  @Test("greedy decoding with a cache gives transformers' ids", arguments: Goldens.all)
  func greedy(_ goldens: Goldens) throws {
    let model = try QwenModel.load(directory: goldens.directory)
    let golden = try #require(try goldens.json()["generate"])
    func ids(_ key: String) -> [Int32] {
      (golden[key]?.arrayValue ?? []).compactMap { $0.integerValue.map { Int32($0) } }
    }
    let generator = Generator(model: model, stopIDs: [], options: .greedy)
    let output = try generator.generate(prompt: ids("prompt"), maxNewTokens: ids("ids").count)
    #expect(output.ids == ids("ids"))
    #expect(!output.isStopped)
  }

  @Test("a prompt in one piece and in chunks give the same continuation")
  func chunks() throws {
    let model = try QwenModel.load(directory: Goldens.all[2].directory)
    let generator = Generator(model: model, stopIDs: [], options: .greedy)
    let long = (0..<700).map { Int32($0 * 31 % 95) }
    let first = try generator.generate(prompt: long, maxNewTokens: 4)
    let second = try generator.generate(prompt: long + first.ids.prefix(3), maxNewTokens: 1)
    #expect(first.ids.last == second.ids.last)
  }

  @Test("generation ends with the stop token, and after the first refusal")
  func stopping() throws {
    let model = try QwenModel.load(directory: Goldens.all[2].directory)
    let free = try Generator(model: model, stopIDs: [], options: .greedy)
      .generate(prompt: [24, 4, 13, 16, 71], maxNewTokens: 8)
    let stop = try #require(free.ids.dropFirst(4).first)
    let stopped = try Generator(model: model, stopIDs: [stop], options: .greedy)
      .generate(prompt: [24, 4, 13, 16, 71], maxNewTokens: 8)
    #expect(stopped.isStopped && stopped.ids.last == stop)
    let refused = try Generator(model: model, stopIDs: [], options: .greedy)
      .generate(prompt: [1, 2], maxNewTokens: 8) { _ in false }
    #expect(refused.ids.count == 1)
  }

  @Test("a temperature near 0 is greedy, not a division by nothing")
  func cold() throws {
    let model = try QwenModel.load(directory: Goldens.all[2].directory)
    func ids(_ temperature: Double) throws -> [Int32] {
      let options = SamplingOptions(temperature: temperature, topP: 1, topK: 0)
      return try Generator(model: model, stopIDs: [], options: options)
        .generate(prompt: [24, 4, 13, 16, 71], maxNewTokens: 6).ids
    }
    #expect(try ids(.leastNormalMagnitude) == ids(0))
    #expect(try ids(.leastNonzeroMagnitude) == ids(0))
  }

  @Test("the same seed draws the same tokens, another stream others; top-k 1 is greedy")
  func sampling() throws {
    let model = try QwenModel.load(directory: Goldens.all[2].directory)
    let hot = SamplingOptions(temperature: 5, topP: 1, topK: 0, seed: 7)
    func draw(_ options: SamplingOptions, _ stream: Int) throws -> [Int32] {
      try Generator(model: model, stopIDs: [], options: options)
        .generate(prompt: [5, 6, 7], maxNewTokens: 24, stream: stream).ids
    }
    #expect(try draw(hot, 0) == draw(hot, 0))
    #expect(try draw(hot, 0) != draw(hot, 1))
    var single = hot
    single.topK = 1
    #expect(try draw(single, 0) == draw(.greedy, 0))
    var nucleus = hot
    nucleus.topP = 1e-9
    #expect(try draw(nucleus, 0) == draw(.greedy, 0))
    var strict = hot
    strict.minP = 1
    #expect(try draw(strict, 0) == draw(.greedy, 0))
  }
}
