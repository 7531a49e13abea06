// adapter_config.json, as PEFT writes it and as every PEFT since 0.6 reads it.

public import Files
public import NN
package import OrderedJSON
public import Safetensors

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
  /// `rank_pattern`, checked: an object or null.
  package var rankPattern: JSON
  /// `alpha_pattern`, checked: an object or null.
  package var alphaPattern: JSON
  /// `layers_to_transform`, passed on unchanged.
  package var layersToTransform: JSON
  /// `layers_pattern`, passed on unchanged.
  package var layersPattern: JSON

  /// The settings of a fresh adapter on the modules `paths`.
  public init(_ lora: LoRAConfig, paths: [String], baseModel: String?) {
    rank = lora.rank
    alpha = lora.alpha
    dropout = lora.dropout
    useRSLoRA = lora.useRSLoRA
    self.baseModel = baseModel
    let names =
      switch lora.targets {
      case .names(let names): names
      case .allLinear: Array(Set(paths.map { String($0.split(separator: ".").last ?? "") }))
      }
    targetModules = .array(names.sorted().map { .string($0) })
    rankPattern = .object(JSONObject())
    alphaPattern = .object(JSONObject())
    layersToTransform = .null
    layersPattern = .null
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
    baseModel = object["base_model_name_or_path"]?.stringValue
    targetModules = object["target_modules"] ?? .null
    rankPattern = object["rank_pattern"] ?? .object(JSONObject())
    alphaPattern = object["alpha_pattern"] ?? .object(JSONObject())
    layersToTransform = object["layers_to_transform"] ?? .null
    layersPattern = object["layers_pattern"] ?? .null
    try AdapterConfig.check(rankPattern, "rank_pattern", path, "integers from 1 to 65536") {
      $0.integerValue.map { (1...65_536).contains($0) } ?? false
    }
    try AdapterConfig.check(alphaPattern, "alpha_pattern", path, "finite numbers") {
      $0.doubleValue?.isFinite ?? false
    }
  }

  /// Throws unless `patterns` is null or an object from module names to values that `isValid` takes.
  private static func check(
    _ patterns: JSON, _ name: String, _ path: String, _ expected: String,
    isValid: (JSON) -> Bool
  ) throws(AdapterError) {
    if patterns.isNull { return }
    guard case .object(let object) = patterns else {
      throw .config(
        path: path, problem: "\(name) is \(patterns.kindDescription), expected an object")
    }
    for (key, value) in object {
      guard literal(key) != nil else {
        throw .config(
          path: path,
          problem:
            "\(name): \(key.debugDescription) is a regular expression, which is not supported "
            + "(name the modules one by one)")
      }
      guard isValid(value) else {
        throw .config(
          path: path,
          problem: "\(name): \(key.debugDescription) is \(value.kindDescription) "
            + "\(value.serialized().prefix(40)), expected \(expected)")
      }
    }
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
    if let type = object["peft_type"], type.stringValue != "LORA" {
      throw .config(path: path, problem: "peft_type is \(type.serialized()), expected \"LORA\"")
    }
    for key in ["use_dora", "fan_in_fan_out", "lora_bias", "use_qalora"] {
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
  package func rank(of path: String) -> Int {
    pattern(rankPattern, path)?.integerValue ?? rank
  }

  /// The scale s of the module at `path`.
  package func scale(of path: String) -> Double {
    let alpha = pattern(alphaPattern, path)?.doubleValue ?? alpha
    let rank = Double(rank(of: path))
    return alpha / (useRSLoRA ? rank.squareRoot() : rank)
  }

  /// PEFT matches keys against the end of a path; "^" ties them to its beginning. The first match counts.
  private func pattern(_ patterns: JSON, _ path: String) -> JSON? {
    guard case .object(let object) = patterns else { return nil }
    for (key, value) in object {
      guard let name = AdapterConfig.literal(key) else { continue }
      if path == name.text || !name.isWhole && path.hasSuffix("." + name.text) { return value }
    }
    return nil
  }

  /// The module path that a key of a pattern stands for, and whether it must be the whole path; nil where the key is
  /// a regular expression that means more than its letters. Dots may be escaped, as PEFT's users do.
  private static func literal(_ key: String) -> (text: String, isWhole: Bool)? {
    let isWhole = key.utf8.first == 0x5E
    var text = [UInt8]()
    var isEscaped = false
    for byte in key.utf8.dropFirst(isWhole ? 1 : 0) {
      switch byte {
      case 0x5C where !isEscaped: isEscaped = true
      case 0x2E:
        text.append(byte)
        isEscaped = false
      case 0x30...0x39, 0x41...0x5A, 0x5F, 0x61...0x7A, 0x2D:
        if isEscaped { return nil }
        text.append(byte)
      default: return nil
      }
    }
    return isEscaped ? nil : (String(decoding: text, as: UTF8.self), isWhole)
  }

  /// The file's content: sorted keys, two spaces, no final newline, like PEFT's. Keys that old versions do not know are
  /// left out unless they are needed.
  package var json: JSON {
    var object = JSONObject([
      ("alpha_pattern", alphaPattern), ("auto_mapping", .null),
      ("base_model_name_or_path", baseModel.map { .string($0) } ?? .null),
      ("bias", .string("none")), ("fan_in_fan_out", .bool(false)), ("inference_mode", .bool(true)),
      ("init_lora_weights", .bool(true)), ("layers_pattern", layersPattern),
      ("layers_to_transform", layersToTransform),
      (
        "lora_alpha",
        alpha == alpha.rounded() && alpha.magnitude < 1e15 ? .integer(Int(alpha)) : .number(alpha)
      ),
      ("lora_dropout", .number(dropout)), ("modules_to_save", .null),
      ("peft_type", .string("LORA")),
      ("r", .integer(rank)), ("rank_pattern", rankPattern), ("revision", .null),
      ("target_modules", targetModules), ("task_type", .string("CAUSAL_LM")),
    ])
    if useRSLoRA { object["use_rslora"] = .bool(true) }
    return .object(object)
  }
}

/// An adapter that cannot be used.
public enum AdapterError: Error, Sendable, CustomStringConvertible {
  /// adapter_config.json makes no sense, or asks for what is not computed.
  case config(path: String, problem: String)
  /// adapter_model.safetensors does not fit the settings or the model.
  case tensors(path: String, problem: String)
  /// A file could not be read or written.
  case file(FileError)
  /// adapter_model.safetensors is damaged.
  case checkpoint(SafetensorsError)

  /// What is wrong, in one line beginning with the path.
  public var description: String {
    switch self {
    case .config(let path, let problem), .tensors(let path, let problem): "\(path): \(problem)"
    case .file(let error): error.description
    case .checkpoint(let error): error.description
    }
  }
}
