// A model whose weights are not numbers is an error, not an answer.

import Autograd
import Files
import NN
import QwenModel
import SFT
import Tensor
import Testing

@Suite("Weights that are not numbers")
struct NotANumberTests {
  func damagedModel() throws -> QwenModel {
    let model = try QwenModel.load(directory: TrainingParityTests.fixtures + "/tiny-qwen3")
    model.model.norm.weight.value = Tensor.full(model.model.norm.weight.shape, .nan)
    return model
  }

  @Test("evaluation names the row")
  func evaluation() throws {
    let rows = [
      EncodedRow(inputIDs: [1, 2, 3], labels: [-100, -100, -100], file: "a.jsonl", line: 1),
      EncodedRow(inputIDs: [1, 2, 3], labels: [-100, 2, 3], file: "a.jsonl", line: 2),
    ]
    do {
      _ = try Evaluator(model: damagedModel(), on: .cpu).evaluate(rows)
      Issue.record("the evaluation should have failed")
    } catch let error as TrainingError {
      #expect(error.description.hasPrefix("a.jsonl:2: "))
    }
  }

  /// A run that trains the adapters `paths` of the model.
  private func trainer(
    _ model: QwenModel, _ rows: [EncodedRow], _ config: TrainingConfig, _ lora: LoRAConfig,
    _ paths: [String]
  ) throws -> Trainer {
    try Trainer(
      model: model, rows: rows, config: config,
      artifacts: RunArtifacts(
        modelDirectory: TrainingParityTests.fixtures + "/tiny-qwen3",
        adapter: AdapterConfig(lora, paths: paths, baseModel: nil)))
  }

  /// Trains a step; the error that ends it.
  private func failure(_ model: QwenModel, _ lora: LoRAConfig, _ paths: [String], _ folder: String)
    throws -> TrainingError
  {
    let (rows, config, _) = try TrainingParityTests().setUp("tiny-qwen3", folder + "/out")
    let adapters = try model.namedAdapters().map { try $0.adapter.loraA.value.bytes() }
    let trainer = try self.trainer(model, rows, config, lora, paths)
    let error = #expect(throws: TrainingError.self) { _ = try trainer.run() }
    // The optimizer has touched nothing, and nothing passes for a result.
    #expect(try model.namedAdapters().map { try $0.adapter.loraA.value.bytes() } == adapters)
    #expect(FileSystem.kind(of: folder + "/out/adapter_model.safetensors") == nil)
    return try #require(error)
  }

  @Test("training stops at the step, naming its rows, before a weight is changed")
  func loss() throws {
    try withTemporaryFolder { folder in
      let model = try damagedModel()
      let lora = LoRAConfig(rank: 2)
      let paths = try model.injectLoRA(lora)
      try model.initializeAdapters(seed: 1)
      let error = try failure(model, lora, paths, folder)
      guard case .notFinite(let step, "loss", let rows) = error else {
        Issue.record("\(error)")
        return
      }
      #expect(step == 1 && rows.contains("goldens.json:1"), "\(error)")
    }
  }

  @Test("a gradient that overflows stops the run as well")
  func gradient() throws {
    try withTemporaryFolder { folder in
      let model = try QwenModel.load(directory: TrainingParityTests.fixtures + "/tiny-qwen3")
      let lora = LoRAConfig(rank: 2, alpha: 1e6)
      let paths = try model.injectLoRA(lora)
      for (_, adapter) in model.namedAdapters() {
        adapter.loraA.value = Tensor.zeros(adapter.loraA.shape)
        adapter.loraB.value = Tensor.full(adapter.loraB.shape, 3e38)
      }
      let error = try failure(model, lora, paths, folder)
      guard case .notFinite(1, "gradient", _) = error else {
        Issue.record("\(error)")
        return
      }
    }
  }

  @Test(
    "a step that breaks the parameters ends the run before they are written, and no checkpoint goes for it"
  )
  func parameters() throws {
    try withTemporaryFolder { folder in
      let model = try QwenModel.load(directory: TrainingParityTests.fixtures + "/tiny-qwen3")
      let lora = LoRAConfig(rank: 2)
      let paths = try model.injectLoRA(lora)
      try model.initializeAdapters(seed: 1)
      let (rows, recipe, _) = try TrainingParityTests().setUp("tiny-qwen3", folder + "/out")
      var config = recipe
      // The first step has a learning rate of 0; that of the second is beyond float32 with the factor of its moments.
      (config.learningRate, config.maxGradNorm) = (3e39, 0)
      (config.lrSchedulerType, config.warmupSteps, config.maxSteps) = (.constantWithWarmup, 1, 3)
      (config.saveStrategy, config.saveSteps, config.saveTotalLimit) = (.steps, 1, 1)
      let trainer = try self.trainer(model, rows, config, lora, paths)
      let error = #expect(throws: TrainingError.self) { _ = try trainer.run() }
      guard case .parametersNotFinite(let step)? = error else {
        Issue.record("\(String(describing: error))")
        return
      }
      let names = try FileSystem.list(folder + "/out").map(\.name)
      #expect(step == 2 && names.contains("checkpoint-1") && !names.contains("checkpoint-2"))
      #expect(!names.contains("adapter_model.safetensors"))
      // Whoever holds the folder keeps others out; the run that has failed holds it no more.
      let lock = FolderLock(folder + "/out")
      #expect(lock != nil)
      let other = try self.trainer(model, rows, config, lora, paths)
      let refusal = #expect(throws: TrainingError.self) { _ = try other.run() }
      #expect(refusal?.description.contains("another run is writing") == true)
      withExtendedLifetime(lock) {}
    }
  }

  @Test("generation says what is wrong")
  func generation() throws {
    let generator = Generator(model: try damagedModel(), stopIDs: [], options: .greedy)
    #expect(throws: DeviceError.self) { try generator.generate(prompt: [1, 2], maxNewTokens: 2) }
  }
}
