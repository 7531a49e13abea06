// Whole training runs against transformers and PEFT, on the tiny models of Fixtures/.

import Files
import NN
import OrderedJSON
import QwenModel
import SFT
import Safetensors
import Tensor
import Testing

@Suite("Training parity with transformers and PEFT")
struct TrainingParityTests {
  static let names = ["tiny-qwen2", "tiny-qwen2-tied", "tiny-qwen3", "tiny-qwen3-bf16"]

  static let fixtures: String = {
    let parts = #filePath.split(separator: "/", omittingEmptySubsequences: false)
    return parts.dropLast(3).joined(separator: "/") + "/Fixtures"
  }()

  /// The rows of the goldens, their training recipe, and the goldens themselves.
  func setUp(_ name: String, _ outputDir: String) throws -> (
    rows: [EncodedRow], config: TrainingConfig, goldens: JSON
  ) {
    let goldens = try JSON.parse(
      FileSystem.readFile(TrainingParityTests.fixtures + "/\(name)/goldens.json"))
    let rows = try #require(goldens["rows"]?.arrayValue).enumerated().map { index, row in
      EncodedRow(
        inputIDs: (row["input_ids"]?.arrayValue ?? []).compactMap {
          $0.integerValue.map { Int32($0) }
        },
        labels: (row["labels"]?.arrayValue ?? []).compactMap { $0.integerValue.map { Int32($0) } },
        file: "goldens.json", line: index + 1)
    }
    let recipe = try #require(goldens["train"])
    var config = TrainingConfig(outputDir: outputDir)
    config.maxSteps = try #require(recipe["steps"]?.integerValue)
    config.perDeviceTrainBatchSize = 1
    config.gradientAccumulationSteps = try #require(recipe["rows_per_step"]?.integerValue)
    config.learningRate = try #require(recipe["learning_rate"]?.doubleValue)
    config.warmupSteps = try #require(recipe["warmup_steps"]?.integerValue)
    config.weightDecay = try #require(recipe["weight_decay"]?.doubleValue)
    config.maxGradNorm = try #require(recipe["max_grad_norm"]?.doubleValue)
    config.shuffle = false
    config.loggingSteps = 1
    return (rows, config, goldens)
  }

  func compare(_ records: [StepRecord], _ golden: [JSON]) throws {
    #expect(records.count == golden.count)
    for (record, expected) in zip(records, golden) {
      let loss = try #require(expected["loss"]?.doubleValue)
      let norm = try #require(expected["grad_norm"]?.doubleValue)
      let rate = try #require(expected["learning_rate"]?.doubleValue)
      #expect(abs(record.loss - loss) < 2e-5 * loss, "loss of step \(record.step)")
      #expect(abs(record.gradientNorm - norm) < 1e-4 * norm, "norm of step \(record.step)")
      #expect(abs(record.learningRate - rate) < 1e-12)
    }
  }

  @Test(
    "ten steps of a LoRA adapter give PEFT's losses, norms and tensors",
    arguments: TrainingParityTests.names, [false, true])
  func adapter(_ name: String, checkpointing: Bool) throws {
    try withTemporaryFolder { folder in
      var (rows, config, goldens) = try setUp(name, folder + "/out")
      config.gradientCheckpointing = checkpointing ? .full : .off
      // Half the cases take the rows of a step as one micro-batch.
      if checkpointing {
        (config.perDeviceTrainBatchSize, config.gradientAccumulationSteps) = (2, 1)
      }
      let directory = TrainingParityTests.fixtures + "/" + name
      var options = WeightOptions()
      options.keepsBFloat16 = checkpointing
      let model = try QwenModel.load(directory: directory, options: options)
      let adapter = try AdapterFile.load(directory + "/adapter", into: model)
      var records: [StepRecord] = []
      let trainer = try Trainer(
        model: model, rows: rows, config: config,
        artifacts: RunArtifacts(modelDirectory: directory, adapter: adapter),
        observe: { event in
          if case .step(let record) = event { records.append(record) }
        })
      let summary = try trainer.run()
      #expect(summary.steps == 10)
      let golden = try #require(goldens["lora"]?["train"]?.arrayValue)
      try compare(records, golden)

      let expected = try Checkpoint(file: directory + "/goldens.safetensors")
      let written = try Checkpoint(file: folder + "/out/adapter_model.safetensors")
      #expect(!written.keys.isEmpty)
      for key in written.keys {
        let ours = try written.tensor(key, dtype: .float32).doubles()
        let theirs = try expected.tensor("lora.final." + key, dtype: .float32).doubles()
        let norm = theirs.reduce(0) { $0 + $1 * $1 }.squareRoot()
        let difference = zip(ours, theirs).reduce(0) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) }
        #expect(difference.squareRoot() < 1e-4 * norm, "\(key)")
      }
      let state = try JSON.parse(FileSystem.readFile(folder + "/out/trainer_state.json"))
      let history = try #require(state["log_history"]?.arrayValue)
      #expect(history.count == 11)
      #expect(history.first?["step"]?.integerValue == 1)
    }
  }

  @Test(
    "ten steps of full training give transformers' losses and norms",
    arguments: TrainingParityTests.names)
  func full(_ name: String) throws {
    try withTemporaryFolder { folder in
      let (rows, config, goldens) = try setUp(name, folder + "/out")
      let directory = TrainingParityTests.fixtures + "/" + name
      let model = try QwenModel.load(directory: directory)
      model.setTrainable(true)
      var records: [StepRecord] = []
      let trainer = try Trainer(
        model: model, rows: rows, config: config,
        artifacts: RunArtifacts(modelDirectory: directory, adapter: nil),
        observe: { event in
          if case .step(let record) = event { records.append(record) }
        })
      _ = try trainer.run()
      try compare(records, try #require(goldens["full_train"]?.arrayValue))
      // The result loads as a model of its own.
      _ = try QwenModel.load(directory: folder + "/out")
    }
  }

  @Test("a run that is stopped and resumed ends with the same bits", arguments: [3, 7])
  func resume(stopAfter: Int) throws {
    try withTemporaryFolder { folder in
      let directory = TrainingParityTests.fixtures + "/tiny-qwen3"
      func run(
        _ output: String, stopAfter: Int?, resume: Bool, keeping: GradientCheckpointing = .off
      ) throws -> [UInt8] {
        var (rows, config, _) = try setUp("tiny-qwen3", output)
        config.gradientCheckpointing = keeping
        config.shuffle = true
        config.saveStrategy = .no
        let model = try QwenModel.load(directory: directory)
        let lora = LoRAConfig(rank: 4, alpha: 8, dropout: 0.2)
        let paths = try model.injectLoRA(lora)
        for (_, adapter) in model.namedAdapters() { adapter.initialize(seed: 1, on: .cpu) }
        var steps = 0
        let trainer = try Trainer(
          model: model, rows: rows, config: config,
          artifacts: RunArtifacts(
            modelDirectory: directory,
            adapter: AdapterConfig(lora, paths: paths, baseModel: "tiny-qwen3")),
          shouldStop: { stopAfter.map { steps >= $0 } ?? false },
          observe: { event in
            if case .step = event { steps += 1 }
          })
        if resume { try trainer.resume(from: output + "/checkpoint-\(stopAfter ?? 3)") }
        _ = try trainer.run()
        return try FileSystem.readFile(output + "/adapter_model.safetensors")
      }
      let whole = try run(folder + "/whole", stopAfter: nil, resume: false)
      #expect(throws: TrainingError.self) {
        _ = try run(folder + "/parts", stopAfter: stopAfter, resume: false)
      }
      let path = folder + "/parts/checkpoint-\(stopAfter)"
      #expect(FileSystem.kind(of: path) == .folder)
      if stopAfter != 3 { try FileSystem.rename(path, to: folder + "/parts/checkpoint-3") }
      // What blocks keep may be another thing then.
      let parts = try run(
        folder + "/parts", stopAfter: nil, resume: true,
        keeping: stopAfter == 3 ? .full : .auto(memoryBudget: 1 << 40))
      #expect(whole == parts)
    }
  }
}

/// Runs `body` with a new folder that is removed afterwards.
func withTemporaryFolder(_ body: (String) throws -> Void) throws {
  let path = "/tmp/qwen-sft-tests-\(UInt64.random(in: 0...UInt64.max))"
  try FileSystem.makeFolder(path)
  defer { try? FileSystem.remove(path) }
  try body(path)
}
