// adapter_config.json, as PEFT writes it and as every PEFT since 0.6 reads it.

import Files
public import NN
package import OrderedJSON
import Safetensors

/// The settings of an adapter on disk.
public struct AdapterConfig: Sendable, Hashable {
  /// R of the modules that `rank_pattern` does not name.
  public var rank: Int
  /// α of the modules that `alpha_pattern` does not name.
  public var alpha: Double
  /// Dropout in training.
  public var dropout: Double
  /// Scale by α / √R instead of α / R.
  public var useRSLoRA: Bool
  /// As given when the run was started.
  public var baseModel: String?
  /// `target_modules` as it is in the file: a list of names or a pattern.
  package var targetModules: JSON
  /// Train the length of every row of the adapted weight apart from its direction.
  public var useDoRA: Bool
  /// Where the first values came from. What is written after PiSSA or OLoRA is a plain adapter of twice the rank.
  public var initialization: LoRAInitialization
  /// R of single modules.
  package var rankPattern: ModuleValues<Int>
  /// α of single modules.
  package var alphaPattern: ModuleValues<Double>
  /// `layers_to_transform`, passed on unchanged.
  package var layersToTransform: JSON
  /// `layers_pattern`, passed on unchanged.
  package var layersPattern: JSON
  /// `exclude_modules`, passed on unchanged.
  package var excludeModules: JSON

  /// The modules that the file names; PEFT applies no others.
  package var targets: AdapterTargets {
    AdapterTargets(
      targets: targetModules, excluded: excludeModules, layers: layersToTransform,
      layersPattern: layersPattern)
  }

  /// The settings of a fresh adapter on the modules `paths`.
  public init(_ lora: LoRAConfig, paths: [String], baseModel: String?) {
    rank = lora.rank
    alpha = lora.alpha
    dropout = lora.dropout
    useRSLoRA = lora.useRSLoRA
    useDoRA = lora.useDoRA
    initialization = lora.initialization
    self.baseModel = baseModel
    let names =
      switch lora.targets {
      case .names(let names): names
      case .allLinear: Array(Set(paths.map { String($0.split(separator: ".").last ?? "") }))
      }
    targetModules = .array(names.sorted().map { .string($0) })
    rankPattern = lora.rankPattern
    alphaPattern = lora.alphaPattern
    layersToTransform = lora.layersToTransform.map { .array($0.map { .integer($0) }) } ?? .null
    layersPattern = .null
    excludeModules = .null
  }

  /// Reads adapter_config.json in `directory`.
  public init(directory: String) throws(AdapterError) {
    let path = FileSystem.join(directory, "adapter_config.json")
    let bytes: [UInt8]
    do { bytes = try FileSystem.readFile(path, maximumByteCount: 1 << 24) } catch {
      throw .file(error)
    }
    let json: JSON
    do { json = try JSON.parse(bytes) } catch {
      throw .config(path: path, problem: "is not JSON: \(error)")
    }
    guard case .object(let object) = json else {
      throw .config(path: path, problem: "is \(json.kindDescription), expected an object")
    }
    try AdapterConfig.refuseUnsupported(object, path)
    guard let rank = object["r"]?.integerValue, (1...65_536).contains(rank) else {
      throw .config(path: path, problem: "r is missing or no integer from 1 to 65536")
    }
    guard let alpha = object["lora_alpha"]?.doubleValue, alpha.isFinite else {
      throw .config(path: path, problem: "lora_alpha is missing or no number")
    }
    let dropout = object["lora_dropout"].map { $0.doubleValue ?? -1 } ?? 0
    guard (0..<1).contains(dropout) else {
      throw .config(path: path, problem: "lora_dropout is no number from 0 to below 1")
    }
    self.rank = rank
    self.alpha = alpha
    self.dropout = dropout
    useRSLoRA = try AdapterConfig.flag("use_rslora", in: object, path)
    useDoRA = try AdapterConfig.flag("use_dora", in: object, path)
    initialization = try AdapterConfig.initialization(object["init_lora_weights"], path)
    baseModel = object["base_model_name_or_path"]?.stringValue
    // Without them PEFT takes those that it has for Qwen.
    let targets = object["target_modules"] ?? .null
    targetModules = targets.isNull ? .array([.string("q_proj"), .string("v_proj")]) : targets
    do throws(AdapterPatternError) {
      rankPattern = try AdapterPattern.ranks(object["rank_pattern"] ?? .null)
      alphaPattern = try AdapterPattern.alphas(object["alpha_pattern"] ?? .null)
    } catch {
      throw .config(path: path, problem: error.description)
    }
    layersToTransform = object["layers_to_transform"] ?? .null
    layersPattern = object["layers_pattern"] ?? .null
    excludeModules = object["exclude_modules"] ?? .null
  }

  /// How the adapter was begun, as far as loading it depends on that: PEFT repeats what changes the base weights.
  private static func initialization(_ value: JSON?, _ path: String) throws(AdapterError)
    -> LoRAInitialization
  {
    guard let value, !value.isNull, value.boolValue == nil else { return .kaimingUniform }
    // Their first values are in the file like all others, and the base weights stay as they are.
    if let name = value.stringValue {
      if name == "eva" || name == "orthogonal" { return .kaimingUniform }
      if let result = LoRAInitialization(name: name) { return result }
    }
    throw .config(
      path: path,
      problem: "init_lora_weights is \(value.serialized().prefix(40)), which is not supported")
  }

  /// A truth value; false where it is absent or null.
  private static func flag(_ key: String, in object: JSONObject, _ path: String)
    throws(AdapterError) -> Bool
  {
    guard let value = object[key], !value.isNull else { return false }
    guard case .bool(let flag) = value else {
      throw .config(
        path: path, problem: "\(key) is \(value.kindDescription), expected true or false")
    }
    return flag
  }

  /// Settings that change the mathematics and are not computed here.
  private static func refuseUnsupported(_ object: JSONObject, _ path: String) throws(AdapterError) {
    if object["peft_type"] == nil,
      object["fine_tune_type"] != nil || object["lora_parameters"] != nil
    {
      let type = object["fine_tune_type"]?.stringValue ?? "lora"
      throw .config(
        path: path,
        problem: "is of mlx-lm's form"
          + (["lora", "dora"].contains(type)
            ? " (convert-adapter --to peft makes PEFT's of it)" : ", of fine_tune_type \(type)"))
    }
    if let type = object["peft_type"], type.stringValue != "LORA" {
      throw .config(path: path, problem: "peft_type is \(type.serialized()), expected \"LORA\"")
    }
    for key in ["fan_in_fan_out", "lora_bias", "use_qalora"] {
      if try flag(key, in: object, path) {
        throw .config(path: path, problem: "\(key) is true, which is not supported")
      }
    }
    if let bias = object["bias"], bias.stringValue != "none" {
      throw .config(path: path, problem: "bias is \(bias.serialized()), expected \"none\"")
    }
    for key in [
      "modules_to_save", "layer_replication", "target_parameters", "trainable_token_indices",
      "alora_invocation_tokens", "use_bdlora", "arrow_config", "kasa_config", "monteclora_config",
    ] {
      if let value = object[key], !value.isNull, value.arrayValue?.isEmpty != true,
        value.boolValue != false
      {
        throw .config(path: path, problem: "\(key) is set, which is not supported")
      }
    }
  }

  /// The rank that the config claims for the module at `path`.
  package func rank(of path: String) -> Int { rankPattern.value(for: path) ?? rank }

  /// The scale s of the module at `path`.
  package func scale(of path: String) -> Double {
    LoRAConfig.scale(
      alpha: alphaPattern.value(for: path) ?? alpha, rank: rank(of: path), useRSLoRA: useRSLoRA)
  }

  /// The settings of the adapter as it is written: after PiSSA or OLoRA s·(B·A − B₀·A₀) on the unchanged base, twice the
  /// rank at the same s (PEFT `path_initial_model_for_weight_conversion`).
  package var converted: AdapterConfig {
    guard initialization.changesBase else { return self }
    var result = self
    let factor = useRSLoRA ? 2.0.squareRoot() : 2
    result.initialization = .kaimingUniform
    result.rank *= 2
    result.alpha *= factor
    result.rankPattern = rankPattern.mapValues { 2 * $0 }
    result.alphaPattern = alphaPattern.mapValues { factor * $0 }
    return result
  }

  private static func number(_ value: Double) -> JSON {
    value == value.rounded() && value.magnitude < 1e15 ? .integer(Int(value)) : .number(value)
  }

  /// The file's content: sorted keys, two spaces, no final newline, like PEFT's. Keys that old versions do not know are
  /// left out unless they are needed.
  package var json: JSON {
    var object = JSONObject([
      ("alpha_pattern", AdapterPattern.json(alphaPattern) { AdapterConfig.number($0) }),
      ("auto_mapping", .null),
      ("base_model_name_or_path", baseModel.map { .string($0) } ?? .null),
      ("bias", .string("none")), ("fan_in_fan_out", .bool(false)), ("inference_mode", .bool(true)),
      (
        "init_lora_weights",
        initialization == .kaimingUniform ? .bool(true) : .string(initialization.name)
      ), ("layers_pattern", layersPattern),
      ("layers_to_transform", layersToTransform),
      ("lora_alpha", AdapterConfig.number(alpha)),
      ("lora_dropout", .number(dropout)), ("modules_to_save", .null),
      ("peft_type", .string("LORA")),
      ("r", .integer(rank)), ("rank_pattern", AdapterPattern.json(rankPattern) { .integer($0) }),
      ("revision", .null),
      ("target_modules", targetModules), ("task_type", .string("CAUSAL_LM")),
    ])
    if excludeModules.stringValue?.isEmpty == false || excludeModules.arrayValue?.isEmpty == false {
      object["exclude_modules"] = excludeModules
    }
    if useDoRA { object["use_dora"] = .bool(true) }
    if useRSLoRA { object["use_rslora"] = .bool(true) }
    return .object(object)
  }
}
