// The kinds of adapters against PEFT: whole runs, and files both ways, on the models of Fixtures/adapters.

import Files
import NN
import OrderedJSON
import QwenModel
import SFT
import Safetensors
import Tensor
import Testing

/// A model and a kind of adapter of Fixtures/adapters.
struct AdapterGoldens: CustomTestStringConvertible {
  let model, variant: String

  static let all = ["qwen2", "qwen3"].flatMap { model in
    [
      "dora", "rslora", "pissa", "olora", "loraplus", "patterns", "dora_pissa", "dora_loraplus",
    ].map { AdapterGoldens(model: model, variant: $0) }
  }

  var directory: String { TrainingParityTests.fixtures + "/adapters/" + model }
  var folder: String { directory + "/" + variant }
  var testDescription: String { model + " " + variant }

  func json() throws -> JSON { try JSON.parse(FileSystem.readFile(directory + "/goldens.json")) }

  func golden() throws -> JSON {
    let json = try json()
    return try #require(json["variants"]?[variant])
  }

  func rows(_ key: String) throws -> [EncodedRow] {
    let json = try json()
    func ids(_ json: JSON?) -> [Int32] {
      (json?.arrayValue ?? []).compactMap { $0.integerValue.map { Int32($0) } }
    }
    return try #require(json[key]?.arrayValue).enumerated().map { index, row in
      EncodedRow(
        inputIDs: ids(row["input_ids"]), labels: ids(row["labels"]), file: key, line: index + 1)
    }
  }

  /// The recipe of the goldens.
  func config(_ output: String) throws -> TrainingConfig {
    let json = try json()
    let recipe = try #require(json["train"])
    var config = TrainingConfig(outputDir: output)
    config.maxSteps = try #require(recipe["steps"]?.integerValue)
    config.perDeviceTrainBatchSize = 1
    config.gradientAccumulationSteps = try #require(recipe["rows_per_step"]?.integerValue)
    config.learningRate = try #require(recipe["learning_rate"]?.doubleValue)
    config.warmupSteps = try #require(recipe["warmup_steps"]?.integerValue)
    config.weightDecay = try #require(recipe["weight_decay"]?.doubleValue)
    config.maxGradNorm = try #require(recipe["max_grad_norm"]?.doubleValue)
    config.loraplusLrRatio = try golden()["loraplus_lr_ratio"]?.doubleValue
    config.shuffle = false
    config.loggingSteps = 1
    config.saveStrategy = .no
    return config
  }

  /// The settings of the variants that begin with a factorization.
  func lora() throws -> LoRAConfig {
    let settings = try #require(try golden()["settings"])
    var lora = LoRAConfig(
      rank: 2, alpha: 6, dropout: 0, useRSLoRA: settings["use_rslora"]?.boolValue ?? false)
    lora.useDoRA = settings["use_dora"]?.boolValue ?? false
    let name = try #require(settings["init_lora_weights"]?.stringValue)
    lora.initialization = try #require(LoRAInitialization(name: name))
    return lora
  }

  /// The base model with the adapter that the golden run begins with.
  func start() throws -> (model: QwenModel, adapter: AdapterConfig) {
    let network = try QwenModel.load(directory: directory)
    guard try golden()["starts_from"]?.stringValue == nil else {
      return (network, try AdapterFile.load(folder + "/start", into: network))
    }
    let lora = try lora()
    let paths = try network.injectLoRA(lora)
    try network.initializeAdapters(lora.initialization, seed: 3)
    return (network, AdapterConfig(lora, paths: paths, baseModel: nil))
  }

  /// The loss of the held-out rows with the adapter in `folder`.
  func loss(of folder: String) throws -> Double {
    let network = try QwenModel.load(directory: directory)
    _ = try AdapterFile.load(folder, into: network)
    return try Evaluator(model: network, on: .cpu).evaluate(rows("held_out")).loss
  }
}

@Suite("Kinds of adapters against PEFT")
struct AdapterParityTests {
  @Test(
    "eight steps give PEFT's losses, norms and rates, and the result fits the unchanged base",
    arguments: AdapterGoldens.all, [false, true])
  func training(_ goldens: AdapterGoldens, checkpointing: Bool) throws {
    try withTemporaryFolder { folder in
      var config = try goldens.config(folder + "/out")
      config.gradientCheckpointing = checkpointing ? .full : .off
      let (model, adapter) = try goldens.start()
      var records: [StepRecord] = []
      let trainer = try Trainer(
        model: model, rows: goldens.rows("rows"), config: config,
        artifacts: RunArtifacts(modelDirectory: goldens.directory, adapter: adapter),
        observe: { if case .step(let record) = $0 { records.append(record) } })
      _ = try trainer.run()
      let golden = try goldens.golden()
      let expected = try #require(golden["train"]?.arrayValue)
      #expect(records.count == expected.count)
      for (record, step) in zip(records, expected) {
        let loss = try #require(step["loss"]?.doubleValue)
        let norm = try #require(step["grad_norm"]?.doubleValue)
        let rate = try #require(step["learning_rate"]?.doubleValue)
        #expect(abs(record.loss - loss) < 1e-5 * loss, "loss of step \(record.step)")
        #expect(abs(record.gradientNorm - norm) < 1e-4 * norm, "norm of step \(record.step)")
        #expect(abs(record.learningRate - rate) < 1e-12)
      }
      // What training leaves in memory, and what is written, mean the same.
      let heldOut = try #require(golden["eval_loss"]?.doubleValue)
      let inMemory = try Evaluator(model: model, on: .cpu).evaluate(goldens.rows("held_out")).loss
      #expect(abs(inMemory - heldOut) < 1e-5 * heldOut)
      #expect(abs(try goldens.loss(of: folder + "/out") - heldOut) < 1e-5 * heldOut)
      // The tensors have PEFT's names and shapes.
      let converted = goldens.folder + "/converted"
      let theirs = FileSystem.kind(of: converted) == .folder ? converted : goldens.folder + "/end"
      guard goldens.variant != "dora_pissa" else { return }  // PEFT loses the magnitudes there
      let (ours, peer) = (
        try Checkpoint(file: folder + "/out/adapter_model.safetensors"),
        try Checkpoint(file: theirs + "/adapter_model.safetensors")
      )
      #expect(Set(ours.keys) == Set(peer.keys))
      for key in ours.keys { #expect(try ours.shape(of: key) == peer.shape(of: key), "\(key)") }
      let (settings, peerSettings) = (
        try JSON.parse(FileSystem.readFile(folder + "/out/adapter_config.json")),
        try JSON.parse(FileSystem.readFile(theirs + "/adapter_config.json"))
      )
      for key in ["r", "lora_alpha", "init_lora_weights", "layers_to_transform", "target_modules"] {
        #expect(settings[key] == peerSettings[key], "\(key)")
      }
      for key in ["use_dora", "use_rslora"] {
        #expect(settings[key]?.boolValue ?? false == peerSettings[key]?.boolValue, "\(key)")
      }
    }
  }

  @Test("adapters that PEFT has trained evaluate as they do there", arguments: AdapterGoldens.all)
  func loading(_ goldens: AdapterGoldens) throws {
    let expected = try #require(try goldens.golden()["eval_loss"]?.doubleValue)
    #expect(abs(try goldens.loss(of: goldens.folder + "/end") - expected) < 1e-5 * expected)
    let converted = goldens.folder + "/converted"
    if FileSystem.kind(of: converted) == .folder {
      #expect(abs(try goldens.loss(of: converted) - expected) < 1e-5 * expected)
    }
  }

  @Test(
    "training goes on from a PiSSA adapter that PEFT has left as it was",
    arguments: AdapterGoldens.all.filter { ["pissa", "olora", "dora_pissa"].contains($0.variant) })
  func continuing(_ goldens: AdapterGoldens) throws {
    try withTemporaryFolder { folder in
      let model = try QwenModel.load(directory: goldens.directory)
      let adapter = try AdapterFile.load(goldens.folder + "/end", into: model)
      var config = try goldens.config(folder + "/out")
      config.maxSteps = 2
      let trainer = try Trainer(
        model: model, rows: goldens.rows("rows"), config: config,
        artifacts: RunArtifacts(modelDirectory: goldens.directory, adapter: adapter))
      _ = try trainer.run()
      let heldOut = try Evaluator(model: model, on: .cpu).evaluate(goldens.rows("held_out")).loss
      #expect(abs(try goldens.loss(of: folder + "/out") - heldOut) < 1e-5 * heldOut)
    }
  }

  @Test(
    "a run of every kind that is stopped and resumed ends with the same bits",
    arguments: ["pissa", "pissa_niter_4", "olora", "dora", "dora pissa", "noise"])
  func resume(_ kind: String) throws {
    try withTemporaryFolder { folder in
      let goldens = AdapterGoldens(model: "qwen2", variant: "dora")
      func run(_ output: String, stopAfter: Int?, resumeFrom: String?) throws -> [UInt8] {
        var config = try goldens.config(output)
        config.shuffle = true
        config.gradientCheckpointing = .full
        config.loraplusLrRatio = 4
        config.neftuneNoiseAlpha = kind == "noise" ? 5 : nil
        var lora = LoRAConfig(rank: 2, alpha: 6, dropout: 0.2, useRSLoRA: true)
        lora.useDoRA = kind.hasPrefix("dora")
        lora.initialization =
          kind.split(separator: " ").compactMap { LoRAInitialization(name: String($0)) }.first
          ?? .gaussian
        let model = try QwenModel.load(directory: goldens.directory)
        let paths = try model.injectLoRA(lora)
        try model.initializeAdapters(lora.initialization, seed: 9)
        var steps = 0
        let trainer = try Trainer(
          model: model, rows: goldens.rows("rows"), config: config,
          artifacts: RunArtifacts(
            modelDirectory: goldens.directory,
            adapter: AdapterConfig(lora, paths: paths, baseModel: nil)),
          shouldStop: { stopAfter.map { steps >= $0 } ?? false },
          observe: { if case .step = $0 { steps += 1 } })
        if let resumeFrom { try trainer.resume(from: resumeFrom) }
        _ = try trainer.run()
        return try FileSystem.readFile(output + "/adapter_model.safetensors")
      }
      let whole = try run(folder + "/whole", stopAfter: nil, resumeFrom: nil)
      #expect(throws: TrainingError.self) {
        _ = try run(folder + "/parts", stopAfter: 5, resumeFrom: nil)
      }
      let checkpoint = folder + "/parts/checkpoint-5"
      let parts = try run(folder + "/parts", stopAfter: nil, resumeFrom: checkpoint)
      #expect(whole == parts)
      // A checkpoint is an adapter for the unchanged base as well.
      #expect(try goldens.loss(of: checkpoint).isFinite)
    }
  }

  @Test("a checkpoint of another rank or kind is refused")
  func otherKind() throws {
    try withTemporaryFolder { folder in
      let goldens = AdapterGoldens(model: "qwen3", variant: "pissa")
      func trainer(_ initialization: LoRAInitialization) throws -> Trainer {
        var config = try goldens.config(folder + "/out")
        (config.saveStrategy, config.saveSteps) = (.steps, 8)
        var lora = try goldens.lora()
        lora.initialization = initialization
        let model = try QwenModel.load(directory: goldens.directory)
        let paths = try model.injectLoRA(lora)
        try model.initializeAdapters(initialization, seed: 9)
        return try Trainer(
          model: model, rows: goldens.rows("rows"), config: config,
          artifacts: RunArtifacts(
            modelDirectory: goldens.directory,
            adapter: AdapterConfig(lora, paths: paths, baseModel: nil)))
      }
      _ = try trainer(.pissa(iterations: nil)).run()
      #expect(throws: TrainingError.self) {
        try trainer(.kaimingUniform).resume(from: folder + "/out/checkpoint-8")
      }
      try trainer(.pissa(iterations: nil)).resume(from: folder + "/out/checkpoint-8")
    }
  }

  @Test("noise on the embeddings changes training, and not what is evaluated")
  func noise() throws {
    try withTemporaryFolder { folder in
      let goldens = AdapterGoldens(model: "qwen2", variant: "dora")
      var losses: [Double] = []
      for alpha in [nil, 0, 5] as [Double?] {
        let (model, adapter) = try goldens.start()
        let before = try Evaluator(model: model, on: .cpu).evaluate(goldens.rows("held_out")).loss
        var config = try goldens.config(folder + "/out")
        config.neftuneNoiseAlpha = alpha
        let trainer = try Trainer(
          model: model, rows: goldens.rows("rows"), config: config,
          artifacts: RunArtifacts(modelDirectory: goldens.directory, adapter: adapter),
          observe: { event in
            if case .step(let record) = event, record.step == 1 { losses.append(record.loss) }
          })
        #expect(
          try Evaluator(model: model, on: .cpu).evaluate(goldens.rows("held_out")).loss == before)
        _ = try trainer.run()
      }
      #expect(losses.count == 3 && losses[0] == losses[1] && losses[0] != losses[2])
    }
  }
}
