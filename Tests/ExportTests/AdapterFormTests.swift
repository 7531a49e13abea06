// Verdicts on adapters, and their conversion.

import Export
import Files
import OrderedJSON
import Safetensors
import Testing

@Suite("Forms of adapters")
struct AdapterFormTests {
  private func verdict(_ variant: String, _ consumer: AdapterConsumer, rank: Int? = nil) throws
    -> AdapterVerdict
  {
    AdapterVerdict(
      try AdapterFolder(Fixture.root + "/adapters/qwen3/\(variant)/end"), for: consumer,
      maxLoRARank: rank)
  }

  /// A copy of an adapter with a part of its settings replaced.
  private func changed(_ folder: TestFolder, _ old: String, _ new: String) throws -> AdapterFolder {
    let target = folder("changed")
    try FileSystem.remove(target)
    try FileSystem.copyFolder(Fixture.root + "/adapters/qwen3/rslora/end", to: target)
    let text = try FileSystem.readText(target + "/adapter_config.json")
    try #require(text.contains(old))
    try AtomicFile.write(text.replacing(old, with: new), to: target + "/adapter_config.json")
    return try AdapterFolder(target)
  }

  @Test("a plain adapter is taken by all", arguments: AdapterConsumer.allCases)
  func plain(_ consumer: AdapterConsumer) throws {
    let verdict = try verdict("rslora", consumer)
    #expect(verdict.isAccepted, "\(verdict.problems)")
    #expect(verdict.steps.isEmpty == (consumer == .peft || consumer == .vllm))
    #expect(verdict.json["accepted"] == true)
  }

  @Test("DoRA, patterns and changed bases are taken where they are known")
  func kinds() throws {
    for (variant, consumers) in [
      ("dora", [AdapterConsumer.peft, .mlx]), ("pissa", [.peft]), ("patterns", [.peft, .mlx]),
    ] {
      for consumer in AdapterConsumer.allCases {
        let verdict = try verdict(variant, consumer)
        #expect(verdict.isAccepted == consumers.contains(consumer), "\(variant) \(verdict)")
      }
    }
    #expect(try verdict("rslora", .vllm, rank: 1).problems.count == 1)
  }

  @Test("settings beyond LoRA are named")
  func settings() throws {
    let folder = try TestFolder()
    for (old, new, word) in [
      ("\"modules_to_save\": null", "\"modules_to_save\": [\"lm_head\"]", "modules_to_save"),
      ("\"bias\": \"none\"", "\"bias\": \"all\"", "bias"),
      ("\"lora_bias\": false", "\"lora_bias\": true", "lora_bias"),
      ("\"alpha_pattern\": {}", "\"alpha_pattern\": {\"q_proj\": 2}", "alpha_pattern"),
    ] {
      let verdict = AdapterVerdict(try changed(folder, old, new), for: .vllm)
      #expect(verdict.problems.contains { $0.contains(word) }, "\(verdict)")
    }
    let rank = AdapterVerdict(try changed(folder, "\"r\": ", "\"r\": 1"), for: .peft)
    #expect(!rank.isAccepted)
  }

  /// An adapter of PEFT's form with zeros of the given shapes under names behind `base_model.model.`.
  private func adapter(_ path: String, _ shapes: [(String, [Int])], settings: String = "")
    throws -> AdapterFolder
  {
    try FileSystem.remove(path)
    try FileSystem.makeFolder(path)
    try AtomicFile.write(
      """
      {"peft_type": "LORA", "r": 1, "lora_alpha": 2, "target_modules": ["q_proj"],
       "base_model_name_or_path": "x"\(settings)}
      """, to: path + "/adapter_config.json")
    let entries = shapes.map {
      SafetensorsWriter.Entry(key: "base_model.model." + $0.0, dtype: .f32, shape: $0.1)
    }
    let writer = try SafetensorsWriter(path: path + "/adapter_model.safetensors", entries: entries)
    for entry in entries {
      try writer.write([Float](repeating: 0, count: entry.shape.reduce(1, *)), of: entry.key)
    }
    try writer.commit()
    return try AdapterFolder(path)
  }

  @Test("factors without elements, and ranks that make much of little, are refused")
  func hostileShapes() throws {
    let folder = try TestFolder()
    let stem = "model.layers.0.self_attn.q_proj"
    for (a, b) in [([1, 0], [0, 1]), ([1, 4], [0, 1]), ([1, 0], [4, 1]), ([0, 4], [4, 0])] {
      let adapter = try adapter(
        folder("a"), [(stem + ".lora_A.weight", a), (stem + ".lora_B.weight", b)])
      #expect(throws: ExportError.self) { try AdapterConversion(adapter).write(to: folder("m")) }
      #expect(!AdapterVerdict(adapter, for: .peft).isAccepted)
    }
    // 1 MB that would become 8 GB.
    let second = "model.layers.1.self_attn.q_proj"
    let wide = try adapter(
      folder("a"),
      [
        (stem + ".lora_A.weight", [1, 1 << 17]), (stem + ".lora_B.weight", [1, 1]),
        (second + ".lora_A.weight", [1 << 14, 1]), (second + ".lora_B.weight", [1, 1 << 14]),
      ], settings: #", "rank_pattern": {"layers.1.self_attn.q_proj": 16384}"#)
    #expect {
      try AdapterConversion(wide).write(to: folder("m"))
    } throws: {
      ($0 as? ExportError)?.description.contains("differ too much") == true
    }
  }

  @Test("PEFT takes what it writes beside LoRA factors, and others are told of it")
  func companions() throws {
    let folder = try TestFolder()
    let stem = "model.layers.0.self_attn.q_proj"
    let factors = [(stem + ".lora_A.weight", [1, 4]), (stem + ".lora_B.weight", [3, 1])]
    for (name, shape) in [
      ("lm_head.weight", [5, 4]), (stem + ".lora_B.bias", [3]),
      ("model.embed_tokens.token_adapter.trainable_tokens_delta", [2, 4]),
    ] {
      let adapter = try adapter(folder("a"), factors + [(name, shape)])
      let verdict = AdapterVerdict(adapter, for: .peft)
      #expect(verdict.isAccepted && verdict.notes.contains { $0.contains(name) }, "\(verdict)")
      for consumer in [AdapterConsumer.vllm, .llamacpp, .mlx] {
        #expect(!AdapterVerdict(adapter, for: consumer).isAccepted)
      }
    }
  }

  @Test("to mlx-lm's form and back gives the same bytes", arguments: ["rslora", "dora"])
  func roundTrip(_ variant: String) throws {
    let folder = try TestFolder()
    let source = Fixture.root + "/adapters/qwen3/\(variant)/end"
    let original = try AdapterFolder(source)
    #expect(try AdapterConversion(original).write(to: folder("mlx")).isEmpty)
    let mlx = try AdapterFolder(folder("mlx"))
    #expect(mlx.form == .mlx && mlx.tensors.keys.count == original.tensors.keys.count)
    let name = "model.layers.1.mlp.down_proj"
    let (a, b) = (
      try mlx.tensors.floats(of: name + ".lora_a"), try mlx.tensors.floats(of: name + ".lora_b")
    )
    let stem = "base_model.model.\(name)"
    let shape = try original.tensors.shape(of: stem + ".lora_A.weight")
    #expect(try mlx.tensors.shape(of: name + ".lora_a") == shape.reversed())
    let originalA = try original.tensors.floats(of: stem + ".lora_A.weight")
    let originalB = try original.tensors.floats(of: stem + ".lora_B.weight")
    let (rank, inputs) = (shape[0], shape[1])
    for r in 0..<rank {
      for i in 0..<inputs { #expect(a[i * rank + r] == originalA[r * inputs + i]) }
      for o in 0..<b.count / rank {
        #expect(b[r * (b.count / rank) + o] == originalB[o * rank + r])
      }
    }
    let settings = mlx.settings
    #expect(settings["fine_tune_type"]?.stringValue == (variant == "dora" ? "dora" : "lora"))
    #expect(settings["lora_parameters"]?["rank"]?.integerValue == rank)
    let alpha = try #require(original.settings["lora_alpha"]?.doubleValue)
    let scale = variant == "rslora" ? alpha / Double(rank).squareRoot() : alpha / Double(rank)
    #expect(settings["lora_parameters"]?["scale"]?.doubleValue == scale)
    #expect(settings["num_layers"]?.integerValue == -1)
    #expect(
      AdapterVerdict(mlx, for: .mlx).isAccepted && AdapterVerdict(mlx, for: .mlx).steps.isEmpty)
    _ = try AdapterConversion(mlx).write(to: folder("back"))
    let back = try AdapterFolder(folder("back"))
    for key in original.tensors.keys {
      #expect(try back.tensors.bytes(of: key) == original.tensors.bytes(of: key))
    }
    #expect(back.settings == original.settings)
  }

  @Test("an adapter of mlx-lm's own gets PEFT's settings")
  func foreign() throws {
    let folder = try TestFolder()
    try FileSystem.makeFolder(folder("mlx"))
    try AtomicFile.write(
      """
      {"fine_tune_type": "lora", "num_layers": 1, "model": "Qwen/Qwen3-0.6B",
       "lora_parameters": {"rank": 2, "scale": 20.0, "dropout": 0.0}}
      """, to: folder("mlx/adapter_config.json"))
    let writer = try SafetensorsWriter(
      path: folder("mlx/adapters.safetensors"),
      entries: [
        .init(key: "model.layers.5.self_attn.q_proj.lora_a", dtype: .f32, shape: [3, 2]),
        .init(key: "model.layers.5.self_attn.q_proj.lora_b", dtype: .f32, shape: [2, 4]),
      ])
    try writer.write([1, 2, 3, 4, 5, 6] as [Float], of: "model.layers.5.self_attn.q_proj.lora_a")
    try writer.write((0..<8).map { Float($0) }, of: "model.layers.5.self_attn.q_proj.lora_b")
    try writer.commit()
    _ = try AdapterConversion(AdapterFolder(folder("mlx"))).write(to: folder("peft"))
    let peft = try AdapterFolder(folder("peft"))
    let stem = "base_model.model.model.layers.5.self_attn.q_proj"
    #expect(try peft.tensors.floats(of: stem + ".lora_A.weight") == [1, 3, 5, 2, 4, 6])
    #expect(try peft.tensors.floats(of: stem + ".lora_B.weight") == [0, 4, 1, 5, 2, 6, 3, 7])
    #expect(peft.settings["lora_alpha"] == 40 && peft.settings["r"] == 2)
    #expect(peft.settings["layers_to_transform"] == [5])
    #expect(peft.settings["target_modules"] == ["q_proj"])
    #expect(peft.settings["base_model_name_or_path"] == "Qwen/Qwen3-0.6B")
    #expect(AdapterVerdict(peft, for: .peft).isAccepted)
  }

  @Test("ranks and factors that differ are made one")
  func patterns() throws {
    let folder = try TestFolder()
    let original = try AdapterFolder(Fixture.root + "/adapters/qwen3/patterns/end")
    let notes = try AdapterConversion(original).write(to: folder("mlx"))
    #expect(notes.count == 2)
    let mlx = try AdapterFolder(folder("mlx"))
    let ranks = Set(mlx.modules.known.values.compactMap { mlx.rank($0) })
    #expect(ranks.count == 1 && AdapterVerdict(mlx, for: .mlx).isAccepted)
    #expect(throws: ExportError.self) {
      try AdapterConversion(AdapterFolder(Fixture.root + "/adapters/qwen3/pissa/end")).write(
        to: folder("x"))
    }
    #expect(throws: ExportError.self) { try AdapterConversion(mlx).write(to: folder("mlx")) }
  }
}
