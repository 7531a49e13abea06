// Training with bfloat16 arithmetic stays close to float32.

import Files
import NN
import QwenModel
import SFT
import Tensor
import Testing

@Suite("Training in bfloat16")
struct BFloat16TrainingTests {
  @Test(
    "fifty steps stay within one percent of float32", arguments: ["tiny-qwen2", "tiny-qwen3"],
    [false, true])
  func losses(_ name: String, isFull: Bool) throws {
    let exact = try losses(name, isFull: isFull, .float32)
    let rounded = try losses(name, isFull: isFull, .bfloat16)
    #expect(exact.count == 50 && rounded.count == 50)
    #expect(exact != rounded)
    let mean = { (x: [Double]) in x.reduce(0, +) / Double(x.count) }
    #expect(abs(mean(rounded) - mean(exact)) < 0.01 * mean(exact))
    // The run must learn, else closeness says nothing.
    #expect(mean(Array(rounded.suffix(10))) < 0.97 * mean(Array(rounded.prefix(10))))
  }

  /// The losses of fifty steps.
  private func losses(_ name: String, isFull: Bool, _ dtype: DType) throws -> [Double] {
    var losses: [Double] = []
    try withTemporaryFolder { folder in
      var (rows, config, _) = try TrainingParityTests().setUp(name, folder + "/out")
      config.maxSteps = 50
      config.learningRate = isFull ? 1e-3 : 5e-3
      config.saveStrategy = .no
      if isFull { config.lora = nil }
      let model = try QwenModel.load(
        directory: TrainingParityTests.fixtures + "/" + name, dtype: isFull ? .float32 : dtype)
      model.computeDType = dtype
      if isFull {
        model.setTrainable(true)
      } else {
        try model.injectLoRA(LoRAConfig(rank: 8, alpha: 16, dropout: 0))
        for (_, adapter) in model.namedAdapters() { adapter.initialize(seed: 1, on: .cpu) }
      }
      let trainer = try Trainer(
        model: model, rows: rows, config: config,
        artifacts: RunArtifacts(modelDirectory: folder, adapter: nil),
        observe: { if case .step(let record) = $0 { losses.append(record.loss) } })
      _ = try trainer.run()
    }
    return losses
  }
}
