// adapter_model.safetensors: PEFT's names, both ways.

import Autograd
import Files
import Logging
import NN
import OrderedJSON
public import QwenModel
import Safetensors
public import Tensor

/// An adapter on disk: adapter_config.json and adapter_model.safetensors.
public enum AdapterFile {
  /// What PEFT puts before the path of a module.
  package static let keyPrefix = "base_model.model."

  /// Attaches the adapter in `directory` to `model`, which is frozen but for it, and returns its settings.
  ///
  /// `dropout` replaces the probability that the file names.
  ///
  /// - Throws: `AdapterError`, also where the adapter is one of the output head: head and loss are computed together
  ///   from the frozen weight.
  public static func load(
    _ directory: String, into model: QwenModel, dropout: Double? = nil, on device: Device = .cpu
  ) throws(AdapterError) -> AdapterConfig {
    try load(directory, into: model, dropout: dropout, on: device, isRehearsal: false)
  }

  /// The same; `isRehearsal` where the model's weights have no contents, and nothing is computed from them.
  package static func load(
    _ directory: String, into model: QwenModel, dropout: Double? = nil, on device: Device,
    isRehearsal: Bool
  ) throws(AdapterError) -> AdapterConfig {
    let config = try read(
      directory, into: model, dropout: dropout, on: device, isRehearsal: isRehearsal)
    guard model.lmHead?.adapter == nil else {
      throw .tensors(
        path: FileSystem.join(directory, "adapter_model.safetensors"),
        problem: "it adapts lm_head, which only merging can apply (qwen-sft merge)")
    }
    return config
  }

  /// The same for what computes the head as it does other linear maps.
  package static func read(
    _ directory: String, into model: QwenModel, dropout: Double? = nil, on device: Device = .cpu,
    isRehearsal: Bool = false
  ) throws(AdapterError) -> AdapterConfig {
    var config = try AdapterConfig(directory: directory)
    if let dropout { config.dropout = dropout }
    let path = FileSystem.join(directory, "adapter_model.safetensors")
    let checkpoint: Checkpoint
    do { checkpoint = try Checkpoint(file: path) } catch { throw .checkpoint(error) }
    var tensors = try tensorsByModule(checkpoint, path)
    guard !tensors.isEmpty else {
      throw .tensors(path: path, problem: "there is no LoRA tensor in it")
    }
    let targets = config.targets
    let unnamed = tensors.keys.filter { !targets.contains($0) }.sorted()
    if let first = unnamed.first {
      guard unnamed.count < tensors.count else {
        throw .config(
          path: FileSystem.join(directory, "adapter_config.json"),
          problem: "it names none of the modules in adapter_model.safetensors, such as \(first)")
      }
      for module in unnamed { tensors.removeValue(forKey: module) }
      if !isRehearsal {
        Logger(label: "adapter").warning(
          "\(path): modules that adapter_config.json does not name are left out, as PEFT does: \(unnamed.count), such as \(first)"
        )
      }
    }

    model.setTrainable(false)
    var sources: [(parameter: Parameter, key: String)] = []
    for (index, (module, linear)) in model.namedLinears().enumerated() {
      guard let keys = tensors.removeValue(forKey: module) else {
        linear.adapter = nil
        continue
      }
      let rank = config.rank(of: module)
      let adapter = LoRAAdapter(
        inputSize: linear.inputSize, outputSize: linear.outputSize, rank: rank,
        scale: config.scale(of: module), dropout: config.dropout, index: index,
        useDoRA: config.useDoRA)
      for (part, parameter) in [
        (Part.a, adapter.loraA), (.b, adapter.loraB), (.magnitude, adapter.magnitude),
      ] {
        guard let parameter else {
          guard keys[part] == nil else {
            throw .tensors(
              path: path,
              problem: "\(module) has \(part.rawValue) and adapter_config.json has no use_dora")
          }
          continue
        }
        guard let key = keys[part] else {
          throw .tensors(
            path: path,
            problem:
              "\(module) has \(keys.keys.map(\.rawValue).sorted().joined(separator: " and ")) and no \(part.rawValue)"
          )
        }
        try check(key, of: checkpoint, like: parameter, rank: rank, path)
        sources.append((parameter, key))
      }
      linear.adapter = adapter
    }
    if let stranger = tensors.keys.sorted().first {
      throw .tensors(
        path: path,
        problem:
          "it adapts \(stranger), which the model does not have (is it an adapter of another model?)"
      )
    }
    if config.initialization.changesBase {
      // As PEFT does: the base weights lose what the adapter began with.
      do throws(LoRAError) {
        try model.initializeAdapters(
          config.initialization, seed: 0, isRehearsal: isRehearsal, on: device)
      } catch {
        throw .config(
          path: FileSystem.join(directory, "adapter_config.json"), problem: error.description)
      }
    }
    for (parameter, key) in sources {
      do { parameter.value = try checkpoint.tensor(key, dtype: .float32, on: device) } catch {
        throw .checkpoint(error)
      }
    }
    return config
  }

  /// The tensors of a module's adapter, by the names that PEFT gives them.
  private enum Part: String, CaseIterable {
    case a = "lora_A"
    case b = "lora_B"
    case magnitude = "lora_magnitude_vector"

    /// Newer files have the shortest ending; with an adapter's name in between they are PEFT's in-memory names.
    var endings: [String] {
      let weights = [".\(rawValue).weight", ".\(rawValue).default.weight"]
      return self == .magnitude ? [".\(rawValue)", ".\(rawValue).default"] + weights : weights
    }
  }

  private static func check(
    _ key: String, of checkpoint: Checkpoint, like parameter: Parameter, rank: Int, _ path: String
  ) throws(AdapterError) {
    let info: TensorInfo
    do { info = try checkpoint.info(of: key) } catch { throw .checkpoint(error) }
    guard info.shape == parameter.shape.dimensions else {
      throw .tensors(
        path: path,
        problem:
          "tensor \(key): expected \(parameter.shape.dimensions) (rank \(rank) by adapter_config.json), found \(info.shape)"
      )
    }
    guard info.dtype.isFloatingPoint else {
      throw .tensors(
        path: path,
        problem: "tensor \(key): expected floating-point numbers, found \(info.dtype.rawValue)")
    }
  }

  /// Writes the adapter of `model` into the existing folder `directory`, so that it fits the unchanged base model.
  ///
  /// After PiSSA or OLoRA A and B are written above and beside the A₀ and −B₀ that the base weights have lost: a plain
  /// adapter of twice the rank.
  public static func write(_ model: QwenModel, config: AdapterConfig, to directory: String)
    throws(TrainingError)
  {
    var tensors: [(key: String, tensor: Tensor)] = []
    for (path, adapter) in model.namedAdapters() {
      for (name, tensor) in adapter.convertedTensors {
        tensors.append((keyPrefix + path + "." + name, tensor))
      }
    }
    tensors.sort { $0.key.utf8.lexicographicallyPrecedes($1.key.utf8) }
    do {
      try SafetensorsWriter.write(
        tensors, to: FileSystem.join(directory, "adapter_model.safetensors"))
    } catch { throw .tensors(error) }
    do {
      try AtomicFile.write(
        config.converted.json.serialized(style: .indented(2)),
        to: FileSystem.join(directory, "adapter_config.json"))
    } catch { throw .file(error) }
  }

  private static func tensorsByModule(_ checkpoint: Checkpoint, _ path: String)
    throws(AdapterError) -> [String: [Part: String]]
  {
    var result: [String: [Part: String]] = [:]
    for key in checkpoint.keys {
      guard key.hasPrefix(keyPrefix) else {
        throw .tensors(
          path: path, problem: "tensor \(key): expected a name beginning with \(keyPrefix)")
      }
      let rest = key.dropFirst(keyPrefix.count)
      guard let (part, module) = split(rest) else {
        throw .tensors(
          path: path,
          problem: "tensor \(key): expected lora_A, lora_B or lora_magnitude_vector of a linear map"
        )
      }
      result[module, default: [:]][part] = key
    }
    return result
  }

  private static func split(_ key: Substring) -> (part: Part, module: String)? {
    for part in Part.allCases {
      for ending in part.endings where key.hasSuffix(ending) {
        return (part, String(key.dropLast(ending.count)))
      }
    }
    return nil
  }
}
