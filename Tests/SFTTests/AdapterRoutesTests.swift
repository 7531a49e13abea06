// Several adapters over one base, chosen by sequence.

import Autograd
import NN
import QwenModel
import SFT
import Tensor
import Testing

@Suite("Adapter routes")
struct AdapterRoutesTests {
  private static let variants = ["dora", "rslora", "patterns"]

  private func greedy(_ model: QwenModel, _ prompt: [Int32]) throws -> [Int32] {
    try Generator(model: model, stopIDs: [], options: .greedy)
      .generate(prompt: prompt, maxNewTokens: 10).ids
  }

  @Test(
    "sequences of a batch answer as a model with their adapter alone does",
    arguments: ["qwen2", "qwen3"])
  func routes(_ name: String) throws {
    let goldens = Self.variants.map { AdapterGoldens(model: name, variant: $0) }
    let model = try QwenModel.load(directory: goldens[0].directory)
    let prompts: [[Int32]] = [[5, 17, 3, 60], Array(1...37), [9], [33, 2]]
    let routes = AdapterRoutes()
    var expected: [[[Int32]]] = [try prompts.map { try greedy(model, $0) }]
    for golden in goldens {
      _ = try AdapterFile.load(golden.folder + "/end", into: model)
      expected.append(try prompts.map { try greedy(model, $0) })
      #expect(routes.take(from: model) == expected.count - 2)
    }
    #expect(routes.count == 3 && model.namedAdapters().isEmpty)
    #expect(Set(expected).count == 4, "the adapters of the test answer alike")
    // Nothing chosen: the base, to the bit.
    #expect(try prompts.map { try greedy(model, $0) } == expected[0])

    let decoder = BatchDecoder(
      model: model, routes: routes, promptRows: .init(besideAnswers: 8, alone: 16))
    var wanted: [Int: [Int32]] = [:]
    for (index, prompt) in prompts.enumerated() {
      // Neighbours of the same adapter do not come one after another.
      for adapter in [nil, 2, 0, 1] as [Int?] {
        var request = DecodingRequest(
          prompt: prompt, maxNewTokens: 10, stopIDs: [], options: .greedy)
        request.adapter = adapter
        wanted[decoder.add(request)[0]] = expected[adapter.map { $0 + 1 } ?? 0][index]
      }
    }
    var answers: [Int: [Int32]] = [:]
    while decoder.count > 0 {
      for token in try decoder.step() { answers[token.sequence, default: []].append(token.id) }
    }
    #expect(answers == wanted)
  }

  @Test("rows of no adapter are to the bit what they are without adapters")
  func base() throws {
    let golden = AdapterGoldens(model: "qwen3", variant: "dora")
    let model = try QwenModel.load(directory: golden.directory)
    let linear = try #require(model.namedLinears().first { $0.path.hasSuffix("q_proj") }).linear
    let tape = Tape(mode: .inference)
    let x = tape.constant(
      Tensor(
        (0..<6 * linear.inputSize).map { Float($0 % 13) / 13 - 0.5 },
        shape: [6, linear.inputSize]))
    let plain = try linear(x).value.array(of: Float.self)
    _ = try AdapterFile.load(golden.folder + "/end", into: model)
    let adapted = try linear(x).value.array(of: Float.self)
    let routes = AdapterRoutes()
    let number = routes.take(from: model)
    routes.runs = [.init(rows: 2..<4, adapter: number)]
    let routed = try linear(x).value.array(of: Float.self)
    let width = linear.outputSize
    #expect(routed[..<(2 * width)] == plain[..<(2 * width)])
    #expect(routed[(4 * width)...] == plain[(4 * width)...])
    for index in (2 * width)..<(4 * width) {
      #expect((routed[index] - adapted[index]).magnitude < 1e-5)
    }
    #expect(adapted != plain)
  }
}
