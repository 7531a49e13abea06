// The sampler against transformers' logits processors.

import Files
import OrderedJSON
import QwenModel
import Testing

@Suite("Sampling")
struct SamplingTests {
  private struct Input {
    let logits: [Float]
    let prompt, generated: [Int32]
  }

  private func options(_ settings: JSON) throws -> SamplingOptions {
    var options = SamplingOptions(temperature: 1, topP: 1, topK: 0)
    for (key, value) in try #require(settings.objectValue) {
      let number = value.doubleValue ?? 0
      switch key {
      case "temperature": options.temperature = number
      case "top_k": options.topK = Int(number)
      case "top_p": options.topP = number
      case "min_p": options.minP = number
      case "typical_p": options.typicalP = number
      case "repetition_penalty": options.repetitionPenalty = number
      case "no_repeat_ngram_size": options.noRepeatNgramSize = Int(number)
      case "presence_penalty": options.presencePenalty = number
      case "frequency_penalty": options.frequencyPenalty = number
      case "logit_bias":
        for (id, bias) in try #require(value.objectValue) {
          options.logitBias[try #require(Int32(id))] = bias.doubleValue
        }
      default: Issue.record("unknown setting \(key)")
      }
    }
    return options
  }

  @Test("distributions are those of transformers' processors to 1e-6")
  func distributions() throws {
    let golden = try JSON.parse(
      FileSystem.readFile(Goldens.fixtures + "/sampling/distributions.json"))
    let inputs = try #require(golden["inputs"]?.arrayValue).map { input in
      func ids(_ key: String) -> [Int32] {
        (input[key]?.arrayValue ?? []).compactMap { $0.integerValue.map { Int32($0) } }
      }
      return Input(
        logits: (input["logits"]?.arrayValue ?? []).compactMap {
          $0.doubleValue.map { Float($0) }
        }, prompt: ids("prompt"), generated: ids("generated"))
    }
    let cases = try #require(golden["cases"]?.arrayValue)
    #expect(cases.count >= 90)
    var largest = 0.0
    for one in cases {
      let input = inputs[try #require(one["logits"]?.integerValue)]
      let settings = try #require(one["settings"])
      var sampler = Sampler(try options(settings), stream: 0, prompt: input.prompt)
      for id in input.generated { sampler.accept(id) }
      let found = sampler.distribution(input.logits)
      var left = try #require(one["probabilities"]?.objectValue)
      for (id, probability) in zip(found.ids, found.probabilities) where probability > 0 {
        // Where a probability is below float32's reach there, it is 0 there and nothing here that counts.
        let expected = left.removeValue(forKey: String(id))?.doubleValue ?? 0
        largest = max(largest, (probability - expected).magnitude)
      }
      for (_, value) in left { largest = max(largest, value.doubleValue ?? 1) }
      #expect(largest <= 1e-6, "\(settings.serialized()): \(largest)")
    }
  }

  @Test("draws follow the distribution")
  func draws() {
    let logits: [Float] = [0, 1, 2, -1, 0.5, -Float.infinity]
    var options = SamplingOptions(temperature: 1.3, topP: 0.95, topK: 0, seed: 5)
    options.minP = 0.01
    var sampler = Sampler(options, stream: 0, prompt: [])
    let expected = sampler.distribution(logits)
    var counts = [Int](repeating: 0, count: logits.count)
    for _ in 0..<20_000 { counts[Int(sampler.next(logits))] += 1 }
    for (id, probability) in zip(expected.ids, expected.probabilities) {
      // Four standard deviations.
      let bound = 4 * (probability * (1 - probability) / 20_000).squareRoot()
      #expect((Double(counts[Int(id)]) / 20_000 - probability).magnitude < bound)
    }
    #expect(counts[5] == 0)
  }

  @Test("penalties act on greedy choices too, and one that forbids everything still chooses")
  func penalties() {
    var options = SamplingOptions.greedy
    options.noRepeatNgramSize = 1
    var sampler = Sampler(options, stream: 0, prompt: [2])
    let logits: [Float] = [1, 2, 3]
    #expect(sampler.next(logits) == 1)
    #expect(sampler.next(logits) == 0)
    #expect((0...2).contains(sampler.next(logits)))
    options.temperature = 1
    var warm = Sampler(options, stream: 0, prompt: [0, 1, 2])
    #expect((0...2).contains(warm.next(logits)))
  }
}
