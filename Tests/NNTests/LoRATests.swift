// Adapters on small maps: where they go, what they add, and that they start at the base model.

import Autograd
import NN
import Tensor
import Testing

/// Two projections and a head, as a model has them.
private final class TwoLayers: Module {
  let qProj = Linear(inputSize: 4, outputSize: 6, hasBias: true)
  let downProj = Linear(inputSize: 6, outputSize: 4, hasBias: false)
  let lmHead = Linear(inputSize: 4, outputSize: 9, hasBias: false)
  let norm = RMSNorm(size: 4, epsilon: 1e-6)

  init() {
    for (index, (_, parameter)) in namedParameters().enumerated() {
      parameter.value = Tensor.normal(
        parameter.shape, stream: RandomStream(seed: 3, purpose: .test, index: index))
    }
  }

  var children: KeyValuePairs<String, any ModuleNode> {
    ["layers": ModuleList([Pair(qProj, downProj)]), "lm_head": lmHead, "norm": norm]
  }
}

private final class Pair: Module {
  let qProj, downProj: Linear
  init(_ qProj: Linear, _ downProj: Linear) { (self.qProj, self.downProj) = (qProj, downProj) }
  var children: KeyValuePairs<String, any ModuleNode> { ["q_proj": qProj, "down_proj": downProj] }
}

@Suite("LoRA")
struct LoRATests {
  @Test("paths are those of checkpoints, in order")
  func paths() {
    let model = TwoLayers()
    #expect(
      model.namedParameters().map(\.key) == [
        "layers.0.q_proj.weight", "layers.0.q_proj.bias", "layers.0.down_proj.weight",
        "lm_head.weight", "norm.weight",
      ])
  }

  @Test("injection touches the targets alone and freezes the rest")
  func injection() throws {
    let model = TwoLayers()
    let touched = try model.injectLoRA(LoRAConfig(rank: 2, targets: .names(["q_proj"])))
    #expect(touched == ["layers.0.q_proj"])
    #expect(
      model.trainableParameters().map(\.key) == [
        "layers.0.q_proj.lora_A.weight", "layers.0.q_proj.lora_B.weight",
      ])
    let all = TwoLayers()
    #expect(
      try all.injectLoRA(LoRAConfig(rank: 2, targets: .allLinear)) == [
        "layers.0.q_proj", "layers.0.down_proj",
      ])
    #expect(throws: LoRAError.self) {
      try TwoLayers().injectLoRA(LoRAConfig(rank: 2, targets: .names(["proj"])))
    }
    #expect(throws: LoRAError.self) { try TwoLayers().injectLoRA(LoRAConfig(rank: 0)) }
    #expect(throws: LoRAError.self) { try TwoLayers().injectLoRA(LoRAConfig(dropout: 1)) }
  }

  @Test("a fresh adapter changes nothing, a trained one adds s·B·A·x, a disabled one nothing again")
  func forward() throws {
    let model = TwoLayers()
    let x = Tensor.normal([3, 4], stream: RandomStream(seed: 4, purpose: .test))
    func output() throws -> [Double] {
      try model.qProj(Tape(mode: .inference).constant(x)).value.doubles()
    }
    let base = try output()
    try model.injectLoRA(LoRAConfig(rank: 2, alpha: 6, targets: .names(["q_proj"])))
    let adapter = try #require(model.qProj.adapter)
    adapter.initialize(seed: 5, on: .cpu)
    #expect(try output() == base)
    let bound = 1 / Double(4).squareRoot()
    #expect(try adapter.loraA.value.doubles().allSatisfy { $0 >= -bound && $0 < bound })

    adapter.loraB.value = Tensor.normal([6, 2], stream: RandomStream(seed: 6, purpose: .test))
    let merged =
      model.qProj.weight.value
      + Tensor.matmul(adapter.loraB.value, adapter.loraA.value).scaled(by: 3)
    let expected = try Tensor.matmul(x, merged, transposeB: true)
      .addingRow(try #require(model.qProj.bias).value).doubles()
    for (ours, theirs) in zip(try output(), expected) { #expect(abs(ours - theirs) < 1e-5) }
    model.setAdaptersEnabled(false)
    #expect(try output() == base)
  }

  @Test("dropout draws only where the tape has random numbers, and the same ones for the same pass")
  func dropout() throws {
    let model = TwoLayers()
    try model.injectLoRA(LoRAConfig(rank: 2, dropout: 0.5, targets: .names(["q_proj"])))
    let adapter = try #require(model.qProj.adapter)
    adapter.initialize(seed: 5, on: .cpu)
    adapter.loraB.value = Tensor.ones([6, 2])
    let x = Tensor.normal([8, 4], stream: RandomStream(seed: 4, purpose: .test))
    func output(_ randomness: Randomness?) throws -> [Double] {
      try model.qProj(Tape(randomness: randomness).constant(x)).value.doubles()
    }
    let plain = try output(nil)
    let first = try output(Randomness(seed: 1, pass: 0))
    #expect(first != plain)
    #expect(try output(Randomness(seed: 1, pass: 0)) == first)
    #expect(try output(Randomness(seed: 1, pass: 1)) != first)
  }

  @Test("rsLoRA scales by the root of the rank")
  func scales() {
    #expect(LoRAConfig(rank: 4, alpha: 8).scale == 2)
    #expect(LoRAConfig(rank: 4, alpha: 8, useRSLoRA: true).scale == 4)
  }
}
