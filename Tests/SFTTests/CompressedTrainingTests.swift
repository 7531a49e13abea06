// Training on matrices that are compressed: what is counted, and when they are put back as they were.

import Autograd
import NN
import QwenModel
import SFT
import Safetensors
import Tensor
import Testing

/// Whether anything is compressed for training on this processor.
private let isSupported =
  CompressedTensor(Tensor.zeros([1, 128]).cast(to: .bfloat16), forManyRows: true) != nil

@Suite("Training on compressed matrices", .enabled(if: isSupported))
struct CompressedTrainingTests {
  private func model(isCompressed: Bool = true, on device: Device = .cpu) throws -> QwenModel {
    var options = WeightOptions()
    (options.dtype, options.keepsBFloat16, options.placement) = (.bfloat16, true, .owned)
    (options.compressesBFloat16, options.multipliesManyRows) = (isCompressed, true)
    options.isRehearsal = device.backend is SizingBackend
    return try QwenModel.load(
      directory: TrainingParityTests.fixtures + "/demo-model", options: options, on: device)
  }

  @Test("a model without numbers is compressed as the real one is")
  func counts() throws {
    let (real, counted) = (
      try model().weightByteCount, try model(on: SizingBackend().device).weightByteCount
    )
    #expect(try real < model(isCompressed: false).weightByteCount)
    #expect((0.98...1.02).contains(Double(counted) / Double(real)), "\(counted) for \(real)")
  }

  @Test("steps on compressed matrices are to the bit those on the matrices themselves")
  func steps() throws {
    let results = try [true, false].map { isCompressed in
      let model = try model(isCompressed: isCompressed)
      var benchmark = TrainingBenchmark()
      (benchmark.tokens, benchmark.batch, benchmark.steps) = (60, 2, 3)
      benchmark.gradientCheckpointing = .full
      let result = try benchmark.run(model, on: .cpu)
      let adapters = try model.namedAdapters().flatMap {
        [try $0.adapter.loraA.value.bytes(), try $0.adapter.loraB.value.bytes()]
      }
      return (result.loss, result.gradientNorm, adapters, model.compressionSaving > 0)
    }
    #expect(results.map(\.3) == [true, false])
    #expect(results[0].0 == results[1].0 && results[0].1 == results[1].1)
    #expect(results[0].2 == results[1].2)
  }

  @Test("a run may be resumed with matrices compressed or not, beside others in 4 bits too")
  func fingerprint() throws {
    for quantizes in [false, true] {
      let fingerprints = try [true, false].map { isCompressed in
        let model = try model(isCompressed: isCompressed)
        if quantizes {
          let linear = try #require(model.namedLinears().first).linear
          linear.unpackExactly()
          linear.quantize(to: QuantizedTensor(quantizing: linear.weight.value))
        }
        return RunFingerprint(
          config: TrainingConfig(outputDir: "out"), adapter: nil, model: model, rows: [],
          evaluationRows: [])
      }
      #expect(fingerprints[0].difference(from: fingerprints[1].json) == nil)
    }
  }

  @Test("matrices are put back as they were where there is room beside all that blocks would keep")
  func decompression() throws {
    let (model, plain) = (try model(), try model(isCompressed: false))
    try model.injectLoRA(LoRAConfig(rank: 4, alpha: 8, dropout: 0))
    try model.initializeAdapters(.kaimingUniform, seed: 1)
    let planner = ActivationPlanner(model, budget: nil)
    let size = BatchSize(tokens: 100, trained: 50)
    let (saving, all) = (model.compressionSaving, planner.footprint(of: size, .off))
    #expect(saving > 0)
    #expect(!planner.decompress(model, size, room: all + saving - 1))
    #expect(model.compressionSaving == saving)
    #expect(planner.decompress(model, size, room: all + saving))
    #expect(model.compressionSaving == 0)
    #expect(!planner.decompress(model, size, room: Int.max))
    for ((path, linear), (_, original)) in zip(model.namedLinears(), plain.namedLinears()) {
      #expect(!linear.weight.isTrainable && linear.adapter != nil, "\(path)")
      #expect(try linear.weight.value.bytes() == original.weight.value.bytes(), "\(path)")
    }
  }
}
