// What blocks keep changes no bit of a result.

import Autograd
import NN
import QwenModel
import Tensor
import Testing

@Suite("Checkpointing")
struct CheckpointingTests {
  /// Loss and gradients of an adapted model with dropout.
  private static func gradients(
    _ goldens: Goldens, _ checkpointing: Checkpointing, useDoRA: Bool, trainsAll: Bool = false
  ) throws -> [[Double]] {
    let dtype: DType = goldens.name.hasSuffix("bf16") && !trainsAll ? .bfloat16 : .float32
    let model = try QwenModel.load(directory: goldens.directory, dtype: dtype)
    if trainsAll {
      model.setTrainable(true)
    } else {
      var lora = LoRAConfig(rank: 3, dropout: 0.2)
      lora.useDoRA = useDoRA
      try model.injectLoRA(lora)
      try model.initializeAdapters(.gaussian, seed: 1)
      for (index, (_, adapter)) in model.namedAdapters().enumerated() {
        adapter.loraB.value = .normal(
          adapter.loraB.shape, standardDeviation: 0.1,
          stream: RandomStream(seed: 5, purpose: .test, index: index))
      }
    }
    let rows = try goldens.goldenRows()
    let (positions, targets) = trainedPositions(rows)
    let tape = Tape(randomness: Randomness(seed: 1, pass: 3))
    let hidden = model.hidden(
      TokenBatch(rows.map(\.ids)), on: tape, checkpointing: checkpointing)
    let (loss, _) = linearCrossEntropy(
      hidden: hidden, weight: tape.leaf(model.headWeight), rows: Tensor(positions),
      targets: Tensor(targets), scale: 0.1)
    tape.backward(from: loss)
    return try [loss.value.doubles()]
      + model.trainableParameters().map { try $0.parameter.gradient?.doubles() ?? [] }
  }

  @Test(
    "loss and every gradient are the same to the bit whatever blocks keep, dropout on",
    arguments: Goldens.all)
  func equality(_ goldens: Goldens) throws {
    for useDoRA in [false, true] {
      let plain = try Self.gradients(goldens, .off, useDoRA: useDoRA)
      #expect(plain.count > 10 && plain.allSatisfy { $0.contains { $0 != 0 } })
      for other in [
        Checkpointing.full, Checkpointing(wholeBlockCount: 1),
        Checkpointing(wholeBlockCount: 0, keepsHalves: true),
        Checkpointing(wholeBlockCount: 1, keepsHalves: true),
        Checkpointing(wholeBlockCount: 0, productBlockCount: 2),
        Checkpointing(wholeBlockCount: 1, productBlockCount: 1, keepsHalves: true),
      ] {
        #expect(try Self.gradients(goldens, other, useDoRA: useDoRA) == plain)
      }
    }
    let all = try Self.gradients(goldens, .off, useDoRA: false, trainsAll: true)
    for other in [
      Checkpointing.full, Checkpointing(wholeBlockCount: 1, keepsHalves: true),
      Checkpointing(wholeBlockCount: 0, productBlockCount: 4),
    ] {
      #expect(try Self.gradients(goldens, other, useDoRA: false, trainsAll: true) == all)
    }
  }

  @Test("the last blocks are those that keep everything")
  func order() {
    let some = Checkpointing(wholeBlockCount: 2, keepsHalves: true)
    #expect(
      (0..<4).map { some.memory(ofBlock: $0, of: 4) } == [
        .halves, .halves, .everything, .everything,
      ]
    )
    let mixed = Checkpointing(wholeBlockCount: 1, productBlockCount: 2)
    #expect(
      (0..<4).map { mixed.memory(ofBlock: $0, of: 4) } == [
        .input, .products, .products, .everything,
      ]
    )
    #expect((0..<2).allSatisfy { Checkpointing.full.memory(ofBlock: $0, of: 2) == .input })
    #expect((0..<2).allSatisfy { Checkpointing.off.memory(ofBlock: $0, of: 2) == .everything })
  }
}
