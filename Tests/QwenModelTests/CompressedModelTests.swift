// Models whose matrices are compressed: not a bit of what they compute is another.

import Autograd
import NN
import QwenModel
import Tensor
import Testing

/// Whether anything is compressed on this processor.
private let isSupported = CompressedTensor(Tensor.zeros([1, 128]).cast(to: .bfloat16)) != nil

@Suite("Compressed models", .enabled(if: isSupported))
struct CompressedModelTests {
  /// The demo model, whose matrices have rows of 128 elements and more.
  private func model(isCompressed: Bool, _ dtype: DType = .float32) throws -> QwenModel {
    var options = WeightOptions()
    (options.dtype, options.keepsBFloat16) = (dtype, true)
    options.compressesBFloat16 = isCompressed
    let model = try QwenModel.load(directory: Goldens.fixtures + "/demo-model", options: options)
    model.computeDType = dtype
    let compressed = model.namedLinears().filter { $0.linear.packedWeight != nil }
    #expect(compressed.count == (isCompressed ? model.namedLinears().count : 0))
    return model
  }

  /// Adapters with factors that change results.
  private func adapt(_ model: QwenModel, useDoRA: Bool) throws {
    var config = LoRAConfig(rank: 4, alpha: 8, dropout: 0)
    config.useDoRA = useDoRA
    try model.injectLoRA(config)
    try model.initializeAdapters(.kaimingUniform, seed: 1)
    for (index, (_, adapter)) in model.namedAdapters().enumerated() {
      adapter.loraB.value = Tensor.normal(
        adapter.loraB.shape, standardDeviation: 0.02,
        stream: RandomStream(seed: 9, purpose: .test, index: index))
    }
  }

  private static let prompt: [Int32] = (0..<40).map { $0 * 7 % 200 }

  @Test(
    "logits of prompts are to the bit those of the matrices themselves",
    arguments: [DType.float32, .bfloat16], [nil, false, true] as [Bool?])
  func logits(_ dtype: DType, _ useDoRA: Bool?) throws {
    let logits = try [false, true].map { isCompressed in
      let model = try model(isCompressed: isCompressed, dtype)
      if let useDoRA { try adapt(model, useDoRA: useDoRA) }
      let hidden = model.hidden(
        TokenBatch([Self.prompt, [8, 9, 7]]), on: Tape(mode: .inference))
      return try model.logits(hidden).value.bytes()
    }
    #expect(logits[0] == logits[1])
  }

  @Test(
    "decoded tokens are those of the matrices themselves", arguments: [DType.float32, .bfloat16],
    [false, true])
  func decoding(_ dtype: DType, _ hasAdapter: Bool) throws {
    let answers = try [false, true].map { isCompressed in
      let model = try model(isCompressed: isCompressed, dtype)
      if hasAdapter { try adapt(model, useDoRA: false) }
      return try Generator(model: model, stopIDs: [], options: .greedy)
        .generate(prompt: Self.prompt, maxNewTokens: 24).ids
    }
    #expect(answers[0].count == 24 && answers[0] == answers[1])
  }

  @Test(
    "gradients of adapters are to the bit those of the matrices themselves",
    arguments: [DType.float32, .bfloat16])
  func gradients(_ dtype: DType) throws {
    let gradients = try [false, true].map { isCompressed in
      let model = try model(isCompressed: isCompressed, dtype)
      try adapt(model, useDoRA: false)
      let tape = Tape(randomness: Randomness(seed: 1, pass: 0))
      let hidden = model.hidden(TokenBatch([Self.prompt]), on: tape)
      let (loss, _) = linearCrossEntropy(
        hidden: hidden, weight: tape.leaf(model.headWeight), rows: Tensor([Int32(3), 20, 38]),
        targets: Tensor([Int32(2), 4, 6]), scale: 1 / 3)
      tape.backward(from: loss)
      return try model.trainableParameters().map { try $0.parameter.gradient?.doubles() ?? [] }
    }
    #expect(gradients[0].contains { $0.contains { $0 != 0 } })
    #expect(gradients[0] == gradients[1])
  }

  @Test("a base that an adapter changes is unpacked where it does")
  func changedBase() throws {
    let logits = try [false, true].map { isCompressed in
      let model = try model(isCompressed: isCompressed)
      try model.injectLoRA(
        LoRAConfig(rank: 4, alpha: 8, dropout: 0, targets: .names(["q_proj", "down_proj"])))
      try model.initializeAdapters(.olora, seed: 1)
      for (_, linear) in model.namedLinears() {
        #expect((linear.packedWeight == nil) == (!isCompressed || linear.adapter != nil))
      }
      let hidden = model.hidden(TokenBatch([Self.prompt]), on: Tape(mode: .inference))
      return try model.logits(hidden).value.doubles()
    }
    // LAPACK's factors are not the same to the bit each time.
    let scale = logits[0].reduce(0) { max($0, $1.magnitude) }
    #expect(zip(logits[0], logits[1]).allSatisfy { ($0 - $1).magnitude < 1e-5 * scale })
  }

  @Test("an outline counts what they take")
  func outline() throws {
    let model = try model(isCompressed: true)
    let outline = model.outline(on: SizingBackend())
    let sizes = [model, outline].map { model in
      model.namedLinears().map { $0.linear.packedWeight?.byteCount ?? 0 }
    }
    #expect(sizes[0] == sizes[1] && sizes[0].allSatisfy { $0 > 0 })
    #expect(try model.weightByteCount < self.model(isCompressed: false).weightByteCount * 9 / 10)
  }
}
