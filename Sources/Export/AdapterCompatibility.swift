// Whether other programs take an adapter, by what each of them documents and checks. Nothing is loaded but names and sizes.

import NN
package import OrderedJSON
import SFT
import Safetensors

/// A program that adapters are meant for.
package enum AdapterConsumer: String, Sendable, Hashable, CaseIterable {
  case peft, vllm, llamacpp, mlx

  /// The name that its makers use.
  package var displayName: String {
    switch self {
    case .peft: "PEFT"
    case .vllm: "vLLM"
    case .llamacpp: "llama.cpp"
    case .mlx: "mlx-lm"
    }
  }
}

/// A verdict with its reasons.
package struct AdapterVerdict: Sendable, Hashable {
  /// Who is asked.
  package let consumer: AdapterConsumer
  /// What stands against it; empty where the adapter is taken.
  package private(set) var problems: [String] = []
  /// What is good to know.
  package private(set) var notes: [String] = []
  /// What has to be done first.
  package private(set) var steps: [String] = []

  /// Whether the adapter is taken, after the steps where there are some.
  package var isAccepted: Bool { problems.isEmpty }

  /// The ranks for which vLLM can be set up.
  private static let vllmRanks = [1, 8, 16, 32, 64, 128, 256, 320, 512]
  private static let projections = [
    "q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj",
  ]

  /// Judges the adapter in `folder`. `maxLoRARank` is what vLLM is started with; nil for what it can be started with.
  package init(_ folder: AdapterFolder, for consumer: AdapterConsumer, maxLoRARank: Int? = nil) {
    self.consumer = consumer
    let (modules, strangers) = folder.modules
    judgeTensors(folder, modules, consumer == .peft ? noted(strangers, of: folder) : strangers)
    switch consumer {
    case .peft: if folder.form == .mlx { convert(to: "peft") }
    case .vllm:
      if folder.form == .mlx { convert(to: "peft") }
      judgeForVLLM(folder, modules, maxLoRARank)
    case .llamacpp:
      judgeForLlamaCpp(folder, modules)
    case .mlx: judgeForMLX(folder, modules)
    }
  }

  private mutating func convert(to form: String) {
    steps.append(
      "convert-adapter --to \(form) writes it in the form that \(consumer.displayName) reads")
  }

  /// Notes what PEFT keeps beside LoRA factors in files of its form (whole modules, biases, rows of embeddings) and returns
  /// the other names.
  private mutating func noted(_ strangers: [String], of folder: AdapterFolder) -> [String] {
    guard folder.form == .peft else { return strangers }
    let own = strangers.filter { $0.hasPrefix(AdapterFolder.prefix) }
    if let first = own.first {
      notes.append(
        "beside LoRA factors there is \(first)"
          + (own.count > 1 ? " and \(own.count - 1) more" : "")
          + ": PEFT takes what its settings name, other programs mostly do not")
    }
    return strangers.filter { !$0.hasPrefix(AdapterFolder.prefix) }
  }

  /// What everybody asks: pairs of factors that fit each other and the settings.
  private mutating func judgeTensors(
    _ folder: AdapterFolder, _ modules: [String: [AdapterFolder.Part: String]],
    _ strangers: [String]
  ) {
    if modules.isEmpty { problems.append("there is no LoRA tensor in it") }
    if let stranger = strangers.first {
      problems.append(
        "tensor \(stranger) is no LoRA factor of a linear map"
          + (strangers.count > 1 ? ", and \(strangers.count - 1) more" : ""))
    }
    let config = folder.form == .peft ? try? AdapterConfig(directory: folder.path) : nil
    for (module, parts) in modules.sorted(by: { $0.key < $1.key }) {
      guard let a = parts[.a], let b = parts[.b], let rank = folder.rank(parts),
        let shapeA = try? folder.tensors.shape(of: a),
        let shapeB = try? folder.tensors.shape(of: b),
        shapeB.count == 2, rank == (folder.form == .peft ? shapeB[1] : shapeB[0]), rank > 0,
        (shapeA + shapeB).allSatisfy({ $0 > 0 })
      else {
        problems.append("\(module): expected two factors of one rank")
        return
      }
      if let config, config.rank(of: module) != rank {
        problems.append(
          "\(module) has rank \(rank), adapter_config.json says \(config.rank(of: module))")
        return
      }
    }
    guard folder.form == .peft else { return }
    do throws(AdapterError) { _ = try AdapterConfig(directory: folder.path) } catch {
      // Other programs may read what this one does not; what they refuse is said below.
      notes.append("qwen-sft does not read it: \(error.description)")
    }
    if let type = folder.settings["peft_type"], type.stringValue != "LORA" {
      problems.append("peft_type is \(type.serialized()), expected \"LORA\"")
    }
  }

  private func isSet(_ key: String, _ folder: AdapterFolder) -> Bool {
    guard let value = folder.settings[key], !value.isNull else { return false }
    return value.boolValue != false && value.arrayValue?.isEmpty != true
      && value.objectValue?.isEmpty != true
  }

  private func isDoRA(_ folder: AdapterFolder, _ modules: [String: [AdapterFolder.Part: String]])
    -> Bool
  {
    isSet("use_dora", folder) || folder.settings["fine_tune_type"]?.stringValue == "dora"
      || modules.values.contains { $0[.magnitude] != nil }
  }

  private mutating func judgeForVLLM(
    _ folder: AdapterFolder, _ modules: [String: [AdapterFolder.Part: String]], _ limit: Int?
  ) {
    judgePlainness(folder, modules)
    let largest = modules.values.compactMap { folder.rank($0) }.max() ?? 0
    if let limit, largest > limit {
      problems.append("rank \(largest) is above --max_lora_rank \(limit)")
    } else if let needed = Self.vllmRanks.first(where: { $0 >= largest }) {
      if limit == nil, needed > 16 { steps.append("start vLLM with --max-lora-rank \(needed)") }
    } else {
      problems.append("rank \(largest) is above 512, the most that vLLM can be set up for")
    }
    for key in ["rank_pattern", "alpha_pattern"] where isSet(key, folder) {
      problems.append(
        "\(key) is set: vLLM scales all modules by lora_alpha / r (merge the adapter)")
    }
    if let other = modules.keys.sorted().first(where: { module in
      !Self.projections.contains { module.hasSuffix("." + $0) }
    }) {
      problems.append(
        "\(other) is adapted: expected only \(Self.projections.joined(separator: ", "))")
    }
    if isSet("use_rslora", folder) { notes.append("use_rslora is understood") }
  }

  private mutating func judgeForLlamaCpp(
    _ folder: AdapterFolder, _ modules: [String: [AdapterFolder.Part: String]]
  ) {
    judgePlainness(folder, modules)
    if folder.form == .mlx {
      steps.append("convert-adapter --to peft makes it readable for the export")
    }
    steps.append("export gguf --adapter_only makes the file that llama.cpp loads with --lora")
    for key in ["use_rslora", "alpha_pattern"] where isSet(key, folder) {
      notes.append(
        "\(key) is set: export gguf puts the factors into the file; llama.cpp's own converter knows "
          + "lora_alpha alone")
    }
  }

  /// What serving programs leave out of LoRA.
  private mutating func judgePlainness(
    _ folder: AdapterFolder, _ modules: [String: [AdapterFolder.Part: String]]
  ) {
    let name = consumer.displayName
    if isDoRA(folder, modules) { problems.append("\(name) has no DoRA (merge the adapter)") }
    for key in ["modules_to_save", "lora_bias", "trainable_token_indices", "layer_replication"]
    where isSet(key, folder) {
      problems.append("\(key) is set: \(name) takes LoRA factors only (merge the adapter)")
    }
    if let bias = folder.settings["bias"]?.stringValue, bias != "none" {
      problems.append("bias is \(bias), expected none")
    }
    if isSet("fan_in_fan_out", folder) { problems.append("fan_in_fan_out is true, expected false") }
    let beginning = folder.settings["init_lora_weights"]?.stringValue ?? ""
    if LoRAInitialization(name: beginning)?.changesBase == true {
      problems.append(
        "init_lora_weights is \(beginning): the adapter belongs to a changed base (merge the adapter)"
      )
    }
  }

  private mutating func judgeForMLX(
    _ folder: AdapterFolder, _ modules: [String: [AdapterFolder.Part: String]]
  ) {
    if folder.form == .peft { convert(to: "mlx") }
    for key in ["modules_to_save", "lora_bias", "trainable_token_indices", "layer_replication"]
    where isSet(key, folder) {
      problems.append("\(key) is set: mlx-lm's adapters have LoRA factors only")
    }
    if let bias = folder.settings["bias"]?.stringValue, bias != "none" {
      problems.append("bias is \(bias), expected none")
    }
    let beginning = folder.settings["init_lora_weights"]?.stringValue ?? ""
    if LoRAInitialization(name: beginning)?.changesBase == true {
      problems.append("init_lora_weights is \(beginning): the adapter belongs to a changed base")
    }
    let ranks = Set(modules.values.compactMap { folder.rank($0) })
    if ranks.count > 1 {
      if folder.form == .mlx {
        problems.append("ranks differ, and mlx-lm has one for all modules")
      } else {
        notes.append("ranks differ: the conversion fills the smaller ones up with zeros")
      }
    }
    if folder.form == .mlx {
      let parameters = folder.settings["lora_parameters"]
      for key in ["rank", "scale", "dropout"] where parameters?[key]?.doubleValue == nil {
        problems.append("lora_parameters.\(key) is missing")
      }
      if folder.settings["num_layers"]?.integerValue == nil {
        problems.append("num_layers is missing")
      }
      if let rank = parameters?["rank"]?.integerValue, ranks.count == 1, ranks.first != rank {
        problems.append("lora_parameters.rank is \(rank), its tensors have \(ranks.first ?? 0)")
      }
    }
  }

  /// The verdict as one JSON value.
  package var json: JSON {
    func list(_ texts: [String]) -> JSON { .array(texts.map { .string($0) }) }
    return .object(
      JSONObject([
        ("for", .string(consumer.rawValue)), ("accepted", .bool(isAccepted)),
        ("problems", list(problems)), ("steps", list(steps)), ("notes", list(notes)),
      ]))
  }
}
