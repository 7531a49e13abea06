// Adapters and checkpoints that are damaged or lie: each is one clear error, never a trap, and nothing is half used.

import Autograd
import Files
import NN
import OrderedJSON
import QwenModel
import SFT
import Safetensors
import Tensor
import Testing

@Suite("Damaged adapters and checkpoints")
struct HostileRunTests {
  private static let model = TrainingParityTests.fixtures + "/tiny-qwen3"

  /// Reads an adapter_config.json with `changes` to a valid one.
  private func config(_ changes: [(String, JSON)]) throws -> AdapterConfig {
    var result: AdapterConfig?
    try withTemporaryFolder { folder in
      let text = try FileSystem.readFile(HostileRunTests.model + "/adapter/adapter_config.json")
      var object = try #require(try JSON.parse(text).objectValue)
      for (key, value) in changes { object[key] = value }
      try AtomicFile.write(JSON.object(object).serialized(), to: folder + "/adapter_config.json")
      result = try AdapterConfig(directory: folder)
    }
    return try #require(result)
  }

  @Test(
    "adapter settings that cannot be are errors, never defaults",
    arguments: [
      ("rank_pattern", ["q_proj": -1]), ("rank_pattern", ["q_proj": 0]),
      ("rank_pattern", ["q_proj": 65_537]), ("rank_pattern", ["q_proj": "8"]),
      ("rank_pattern", ["q_proj": nil]), ("rank_pattern", ["q_proj": 1.5]),
      ("rank_pattern", [1]), ("rank_pattern", "x"),
      ("rank_pattern", ["(?=q)q_proj": 4]), ("rank_pattern", ["(q_proj": 4]),
      ("alpha_pattern", ["q_proj": "8"]), ("alpha_pattern", ["q_proj": nil]),
      ("alpha_pattern", ["q_proj": .number(.nan)]), ("alpha_pattern", "x"),
      ("alpha_pattern", ["\\bq_proj": 4]), ("use_rslora", "yes"), ("use_dora", 1),
      ("init_lora_weights", "loftq"), ("init_lora_weights", "corda"), ("init_lora_weights", 1),
      ("init_lora_weights", "pissa_niter_x"), ("lora_bias", true), ("modules_to_save", ["lm_head"]),
      ("target_parameters", ["mlp.experts"]), ("r", 0), ("r", 1.5), ("lora_alpha", nil),
      ("lora_alpha", "16"),
      ("alora_invocation_tokens", [1, 2]),
    ] as [(String, JSON)])
  func settings(_ key: String, _ value: JSON) {
    let error = #expect(throws: AdapterError.self) { try config([(key, value)]) }
    #expect(error?.description.contains(key) == true)
  }

  @Test("patterns match the paths that PEFT's regular expressions match")
  func patternTable() throws {
    let json = try JSON.parse(
      FileSystem.readFile(TrainingParityTests.fixtures + "/adapters/patterns.json"))
    let paths = try #require(json["paths"]?.arrayValue).compactMap(\.stringValue)
    let table = try #require(json["patterns"]?.arrayValue)
    #expect(table.count > 30 && paths.count > 5)
    for row in table {
      let pattern = try ModulePattern(try #require(row["pattern"]?.stringValue))
      let expected = try #require(row["matches"]?.arrayValue).map(\.boolValue)
      #expect(paths.map { pattern.matches($0) } == expected, "\(pattern.source)")
    }
  }

  @Test("settings name the modules that PEFT takes them to name")
  func targetTable() throws {
    let json = try JSON.parse(
      FileSystem.readFile(TrainingParityTests.fixtures + "/adapters/targets.json"))
    let paths = try #require(json["paths"]?.arrayValue).compactMap(\.stringValue)
    let table = try #require(json["table"]?.arrayValue)
    #expect(table.count > 20 && paths.count > 8)
    for row in table {
      let settings = try #require(row["settings"])
      let targets = AdapterTargets(
        targets: try #require(settings["target_modules"]),
        excluded: settings["exclude_modules"] ?? .null,
        layers: settings["layers_to_transform"] ?? .null,
        layersPattern: settings["layers_pattern"] ?? .null)
      let expected = try #require(row["names"]?.arrayValue).map(\.boolValue)
      #expect(paths.map { targets.contains($0) } == expected, "\(settings.serialized())")
    }
  }

  @Test("tensors of modules that the settings do not name are left out, as PEFT does")
  func unnamedModules() throws {
    let folder = TrainingParityTests.fixtures + "/adapters/qwen3/rslora/end"
    func paths(_ changes: [(String, JSON)]) throws -> [String] {
      let model = try QwenModel.load(
        directory: TrainingParityTests.fixtures + "/adapters/qwen3")
      try withTemporaryFolder { copy in
        try FileSystem.copyFile(
          folder + "/adapter_model.safetensors", to: copy + "/adapter_model.safetensors")
        let text = try FileSystem.readFile(folder + "/adapter_config.json")
        var object = try #require(try JSON.parse(text).objectValue)
        for (key, value) in changes { object[key] = value }
        try AtomicFile.write(
          JSON.object(object).serialized(), to: copy + "/adapter_config.json")
        let config = try AdapterFile.load(copy, into: model)
        // What is written again names the same modules.
        try FileSystem.makeFolder(copy + "/again")
        try AdapterFile.write(model, config: config, to: copy + "/again")
        let again = try QwenModel.load(
          directory: TrainingParityTests.fixtures + "/adapters/qwen3")
        #expect(try AdapterFile.load(copy + "/again", into: again) == config)
        #expect(again.namedAdapters().map(\.path) == model.namedAdapters().map(\.path))
      }
      return model.namedAdapters().map(\.path)
    }
    let all = try paths([])
    #expect(all.count == 14)
    #expect(
      try paths([("target_modules", ["q_proj"])]) == all.filter { $0.hasSuffix(".q_proj") })
    #expect(
      try paths([("exclude_modules", ".*mlp.*")]) == all.filter { !$0.contains("mlp") })
    #expect(
      try paths([("layers_to_transform", [1])]) == all.filter { $0.contains("layers.1.") })
    #expect(
      try paths([("target_modules", nil)])
        == all.filter { $0.hasSuffix("q_proj") || $0.hasSuffix("v_proj") })
    // An expression beyond ours names everything.
    #expect(try paths([("target_modules", "(?!x).*")]) == all)
    let error = #expect(throws: AdapterError.self) { try paths([("target_modules", ["x_proj"])]) }
    #expect(error?.description.contains("names none of the modules") == true)
  }

  @Test("tensors that the settings do not explain, or miss, are errors")
  func magnitudes() throws {
    let dora = TrainingParityTests.fixtures + "/adapters/qwen3/dora/end"
    let plain = TrainingParityTests.fixtures + "/adapters/qwen3/rslora/end"
    for (tensors, settings) in [(dora, plain), (plain, dora)] {
      try withTemporaryFolder { folder in
        for (name, source) in [
          ("adapter_model.safetensors", tensors), ("adapter_config.json", settings),
        ] {
          try FileSystem.copyFile(source + "/" + name, to: folder + "/" + name)
        }
        let model = try QwenModel.load(
          directory: TrainingParityTests.fixtures + "/adapters/qwen3")
        let error = #expect(throws: AdapterError.self) {
          _ = try AdapterFile.load(folder, into: model)
        }
        #expect(error?.description.contains("lora_magnitude_vector") == true)
      }
    }
  }

  @Test("patterns match the end of a path, or the whole of it behind ^, the first one first")
  func patterns() throws {
    let config = try config([
      ("r", 8), ("lora_alpha", 16), ("use_rslora", nil),
      (
        "rank_pattern",
        ["layers\\.0\\.self_attn.q_proj": 4, "q_proj": 2, "^model.layers.1.mlp.up_proj": 16]
      ),
      ("alpha_pattern", ["^up_proj": 100, "k_proj": 4.5]),
    ])
    #expect(config.rank(of: "model.layers.0.self_attn.q_proj") == 4)
    #expect(config.rank(of: "model.layers.1.self_attn.q_proj") == 2)
    #expect(config.rank(of: "model.layers.1.mlp.up_proj") == 16)
    #expect(config.rank(of: "model.layers.0.mlp.up_proj") == 8)
    #expect(config.rank(of: "model.layers.0.self_attn.xq_proj") == 8)
    #expect(config.scale(of: "model.layers.1.mlp.up_proj") == 1)
    #expect(config.scale(of: "model.layers.1.self_attn.k_proj") == 4.5 / 8)
  }

  /// Trains four steps of a run of ten with a checkpoint after each, and stops.
  private func stoppedRun(
    _ output: String, resume: Bool = false, stopAfter: Int = 4, keeping limit: Int? = nil
  ) throws -> (events: [TrainingEvent], resumption: Trainer.Resumption?) {
    var (rows, config, _) = try TrainingParityTests().setUp("tiny-qwen3", output)
    config.saveSteps = 1
    config.saveTotalLimit = limit
    let model = try QwenModel.load(directory: HostileRunTests.model)
    let adapter = try AdapterFile.load(HostileRunTests.model + "/adapter", into: model)
    var events: [TrainingEvent] = []
    var steps = 0
    let trainer = try Trainer(
      model: model, rows: rows, config: config,
      artifacts: RunArtifacts(modelDirectory: HostileRunTests.model, adapter: adapter),
      shouldStop: { steps >= stopAfter },
      observe: { event in
        events.append(event)
        if case .step = event { steps += 1 }
      })
    let resumption = resume ? try trainer.resumeFromNewestCheckpoint() : nil
    do { _ = try trainer.run() } catch {
      guard case .interrupted = error else { throw error }
    }
    return (events, resumption)
  }

  @Test(
    "a checkpoint whose numbers lie is passed over for the one before it",
    arguments: [
      ("training_progress.json", "global_step", 9_000_000_000_000_000_000),
      ("training_progress.json", "global_step", 11), ("training_progress.json", "global_step", -1),
      ("training_progress.json", "optimizer_steps", 9_223_372_036_854_775_807),
      ("training_progress.json", "tokens_seen", 9_223_372_036_854_775_807),
      ("training_progress.json", "window_steps", -5),
      ("training_progress.json", "total_loss", .number(.nan)),
      ("training_progress.json", "epoch", nil),
      ("training_progress.json", "settings", nil),
      ("training_progress.json", "evaluations_without_gain", -1),
      ("trainer_state.json", "log_history", 5),
    ] as [(String, String, JSON)])
  func numbers(_ file: String, _ key: String, _ value: JSON) throws {
    try withTemporaryFolder { folder in
      _ = try stoppedRun(folder + "/out")
      let path = folder + "/out/checkpoint-4/" + file
      var object = try #require(try JSON.parse(FileSystem.readFile(path)).objectValue)
      object[key] = value
      try AtomicFile.write(JSON.object(object).serialized(), to: path)
      try CheckpointSeal.write(in: folder + "/out/checkpoint-4")
      let (_, resumption) = try stoppedRun(folder + "/out", resume: true, stopAfter: 1)
      #expect(resumption == .resumed(from: folder + "/out/checkpoint-3"))
    }
  }

  @Test("numbers of a log that fit no integer are kept as they are")
  func log() throws {
    try withTemporaryFolder { folder in
      _ = try stoppedRun(folder + "/out")
      let path = folder + "/out/checkpoint-4/trainer_state.json"
      var object = try #require(try JSON.parse(FileSystem.readFile(path)).objectValue)
      object["log_history"] = [["step": 1, "num_tokens": 1e300, "loss": 2.5]]
      try AtomicFile.write(JSON.object(object).serialized(), to: path)
      try CheckpointSeal.write(in: folder + "/out/checkpoint-4")
      let (events, _) = try stoppedRun(folder + "/out", resume: true)
      guard case .resumed(let log, _)? = events.first else {
        Issue.record("expected the log first")
        return
      }
      #expect(log.count == 1 && log[0]["num_tokens"] == 1e300)
    }
  }

  @Test(
    "one changed bit anywhere in a checkpoint is noticed, and the one before it is taken",
    arguments: [
      "adapter_model.safetensors", "adapter_config.json", "optimizer.safetensors",
      "trainer_state.json", "training_progress.json", "checksums.json",
    ], [0.1, 0.5, 0.999])
  func damage(_ name: String, _ place: Double) throws {
    try withTemporaryFolder { folder in
      _ = try stoppedRun(folder + "/out", stopAfter: 2)
      let path = folder + "/out/checkpoint-2/" + name
      var bytes = try FileSystem.readFile(path)
      bytes[Int(Double(bytes.count - 1) * place)] ^= 1
      try AtomicFile.write(bytes, to: path)
      let (events, resumption) = try stoppedRun(folder + "/out", resume: true, stopAfter: 1)
      #expect(resumption == .resumed(from: folder + "/out/checkpoint-1"))
      let isSaid = events.contains { event in
        if case .notice(let text) = event { text.contains("checkpoint-2") } else { false }
      }
      #expect(isSaid)
    }
  }

  @Test("moments of another shape are one error", arguments: [[1], Array(repeating: 1, count: 20)])
  func moments(_ shape: [Int]) throws {
    try withTemporaryFolder { folder in
      _ = try stoppedRun(folder + "/out")
      let path = folder + "/out/checkpoint-4/optimizer.safetensors"
      let file = try Checkpoint(file: path)
      let first = try #require(file.keys.first)
      let entries = try file.keys.map { key in
        SafetensorsWriter.Entry(
          key: key, dtype: .f32, shape: key == first ? shape : try file.shape(of: key))
      }
      let writer = try SafetensorsWriter(path: path, entries: entries)
      for entry in entries {
        let count = entry.shape.reduce(1, *)
        try writer.write([Float](repeating: 0, count: count), of: entry.key)
      }
      try writer.commit()
      try CheckpointSeal.write(in: folder + "/out/checkpoint-4")
      let (_, resumption) = try stoppedRun(folder + "/out", resume: true, stopAfter: 1)
      #expect(resumption == .resumed(from: folder + "/out/checkpoint-3"))
    }
  }

  @Test("a limit never removes the checkpoint just written, nor those of another run")
  func limit() throws {
    try withTemporaryFolder { folder in
      _ = try stoppedRun(folder + "/out", stopAfter: 6, keeping: 2)
      func folders() throws -> [String] {
        try FileSystem.list(folder + "/out").map(\.name).filter { $0.hasPrefix("checkpoint-") }
      }
      #expect(try folders() == ["checkpoint-5", "checkpoint-6"])
      // A new run in the same folder, which is behind the old one.
      _ = try stoppedRun(folder + "/out", stopAfter: 3, keeping: 1)
      #expect(try folders() == ["checkpoint-3", "checkpoint-5", "checkpoint-6"])
      let (_, resumption) = try stoppedRun(folder + "/out", resume: true, stopAfter: 1, keeping: 1)
      #expect(resumption == .resumed(from: folder + "/out/checkpoint-3"))
    }
  }

  @Test("what a killed run has left half written goes when the next one begins")
  func leftovers() throws {
    try withTemporaryFolder { folder in
      for name in [".partial-a/b", ".replaced-kept", "kept/.partial-d"] {
        try FileSystem.makeFolder(folder + "/out/" + name)
      }
      try AtomicFile.write("half", to: folder + "/out/.partial-e")
      _ = try stoppedRun(folder + "/out", stopAfter: 1)
      let names = try FileSystem.list(folder + "/out").map(\.name)
      #expect(!names.contains { $0.hasPrefix(".") })
      #expect(FileSystem.kind(of: folder + "/out/kept/.partial-d") == .folder)
    }
  }

  @Test("a checkpoint that had stepped aside for a new one when the run was killed is found")
  func replaced() throws {
    try withTemporaryFolder { folder in
      _ = try stoppedRun(folder + "/out", stopAfter: 3)
      try FileSystem.rename(
        folder + "/out/checkpoint-3", to: folder + "/out/.replaced-checkpoint-3")
      let (_, resumption) = try stoppedRun(folder + "/out", resume: true, stopAfter: 1)
      #expect(resumption == .resumed(from: folder + "/out/checkpoint-3"))
    }
  }

  @Test("an adapter of the output head is refused where it would not be computed")
  func head() throws {
    try withTemporaryFolder { folder in
      let model = try QwenModel.load(directory: TrainingParityTests.fixtures + "/tiny-qwen2")
      let lora = LoRAConfig(rank: 2, targets: .names(["lm_head", "q_proj"]))
      let paths = try model.injectLoRA(lora)
      #expect(paths.contains("lm_head"))
      try model.initializeAdapters(seed: 1)
      try AdapterFile.write(
        model, config: AdapterConfig(lora, paths: paths, baseModel: nil), to: folder)
      let other = try QwenModel.load(directory: TrainingParityTests.fixtures + "/tiny-qwen2")
      let error = #expect(throws: AdapterError.self) {
        _ = try AdapterFile.load(folder, into: other)
      }
      #expect(error?.description.contains("lm_head") == true)
      // Merging computes it.
      _ = try AdapterFile.read(folder, into: other)
      #expect(other.lmHead?.adapter != nil)
    }
  }

  @Test("a model that an adapter was merged into is another model")
  func merged() throws {
    let config = TrainingConfig(outputDir: "")
    func fingerprint(_ model: QwenModel) -> JSON {
      RunFingerprint(
        config: config, adapter: nil, model: model, rows: [], evaluationRows: []
      ).json
    }
    let base = try QwenModel.load(directory: HostileRunTests.model)
    let same = try QwenModel.load(directory: HostileRunTests.model)
    let before = fingerprint(base)
    #expect(before == fingerprint(same))
    let linear = try #require(same.namedLinears().first?.linear)
    linear.weight.value = linear.weight.value.scaled(by: 1.001)
    #expect(before != fingerprint(same))
    // Less than bfloat16 tells apart, with arithmetic in it.
    let (master, close) = try (
      QwenModel.load(directory: HostileRunTests.model),
      QwenModel.load(directory: HostileRunTests.model)
    )
    for model in [master, close] { model.computeDType = .bfloat16 }
    let first = try #require(close.namedLinears().first?.linear)
    first.weight.value = first.weight.value.scaled(by: 1.000_01)
    #expect(fingerprint(master) != fingerprint(close))
  }

  @Test("a model is the same whether its matrices are widened or stay in 16 bits")
  func keptInBFloat16() throws {
    func fingerprint(keepsBFloat16: Bool, compresses: Bool = false) throws -> JSON {
      var options = WeightOptions()
      options.keepsBFloat16 = keepsBFloat16
      options.compressesBFloat16 = compresses
      // One with rows that are compressed.
      let model = try QwenModel.load(
        directory: TrainingParityTests.fixtures + "/demo-model", options: options)
      return RunFingerprint(
        config: TrainingConfig(outputDir: ""), adapter: nil, model: model, rows: [],
        evaluationRows: []
      ).json
    }
    let plain = try fingerprint(keepsBFloat16: false)
    #expect(try fingerprint(keepsBFloat16: true) == plain)
    #expect(try fingerprint(keepsBFloat16: true, compresses: true) == plain)
  }

  @Test("a resumed run tells the log of the steps before it, and nothing after them")
  func earlierLog() throws {
    try withTemporaryFolder { folder in
      _ = try stoppedRun(folder + "/out")
      try FileSystem.remove(folder + "/out/checkpoint-4")
      let (events, resumption) = try stoppedRun(folder + "/out", resume: true, stopAfter: 1)
      #expect(resumption == .resumed(from: folder + "/out/checkpoint-3"))
      guard case .resumed(let log, _)? = events.first else {
        Issue.record("expected the log first")
        return
      }
      #expect(log.map(\.step) == [1, 2, 3])
    }
  }
}
