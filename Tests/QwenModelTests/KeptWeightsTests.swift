// Matrices that stay in bfloat16 while the arithmetic is float32.

import Autograd
import NN
import QwenModel
import Tensor
import Testing

@Suite("Weights kept in 16 bits")
struct KeptWeightsTests {
  private let directory = Goldens.fixtures + "/tiny-qwen3-bf16"

  private func model(keepsBFloat16: Bool) throws -> QwenModel {
    var options = WeightOptions()
    options.keepsBFloat16 = keepsBFloat16
    return try QwenModel.load(directory: directory, options: options)
  }

  private func logits(_ model: QwenModel) throws -> [Double] {
    let tape = Tape(mode: .inference)
    let batch = TokenBatch([[3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5], [8, 9, 7]])
    return try model.logits(model.hidden(batch, on: tape)).value.doubles()
  }

  @Test("matrices take half the memory, vectors and results are float32")
  func types() throws {
    let model = try model(keepsBFloat16: true)
    for (key, parameter) in model.namedParameters() {
      #expect(parameter.value.dtype == (parameter.shape.rank == 2 ? .bfloat16 : .float32), "\(key)")
      #expect(!parameter.isTrainable)
    }
    let tape = Tape(mode: .inference)
    #expect(model.hidden(TokenBatch([[1, 2]]), on: tape).value.dtype == .float32)
    let plain = try self.model(keepsBFloat16: false)
    #expect(plain.namedParameters().allSatisfy { $0.parameter.value.dtype == .float32 })
  }

  @Test("the logits are those of widened weights")
  func values() throws {
    let (kept, plain) = try (
      logits(model(keepsBFloat16: true)), logits(model(keepsBFloat16: false))
    )
    let scale = plain.reduce(0) { max($0, $1.magnitude) }
    for (a, b) in zip(kept, plain) { #expect((a - b).magnitude < 2e-6 * scale) }
  }

  @Test(
    "a weight that an adapter is taken out of is not rounded",
    arguments: [LoRAInitialization.pissa(iterations: nil), .olora])
  func initialization(_ initialization: LoRAInitialization) throws {
    let before = try logits(model(keepsBFloat16: false))
    let kept = try model(keepsBFloat16: true)
    try kept.injectLoRA(LoRAConfig(rank: 4, alpha: 8, dropout: 0))
    try kept.initializeAdapters(initialization, seed: 1)
    for (path, linear) in kept.namedLinears() where linear.adapter != nil {
      #expect(linear.weight.value.dtype == .float32, "\(path)")
    }
    let scale = before.reduce(0) { max($0, $1.magnitude) }
    for (a, b) in zip(try logits(kept), before) { #expect((a - b).magnitude < 1e-5 * scale) }
  }
}
