// adapter_model.safetensors: PEFT's names, both ways.

import Autograd
import Files
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
  public static func load(
    _ directory: String, into model: QwenModel, dropout: Double? = nil, on device: Device = .cpu
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

    model.setTrainable(false)
    for (index, (module, linear)) in model.namedLinears().enumerated() {
      guard let pair = tensors.removeValue(forKey: module) else {
        linear.adapter = nil
        continue
      }
      guard let a = pair.a, let b = pair.b else {
        throw .tensors(
          path: path,
          problem:
            "\(module) has lora_\(pair.a == nil ? "B" : "A") and no lora_\(pair.a == nil ? "A" : "B")"
        )
      }
      let rank = config.rank(of: module)
      let adapter = LoRAAdapter(
        inputSize: linear.inputSize, outputSize: linear.outputSize, rank: rank,
        scale: config.scale(of: module), dropout: config.dropout, index: index)
      for (key, parameter) in [(a, adapter.loraA), (b, adapter.loraB)] {
        do {
          let info = try checkpoint.info(of: key)
          guard info.shape == parameter.shape.dimensions else {
            throw AdapterError.tensors(
              path: path,
              problem:
                "tensor \(key): expected \(parameter.shape.dimensions) (rank \(rank) by adapter_config.json), found \(info.shape)"
            )
          }
          guard info.dtype.isFloatingPoint else {
            throw AdapterError.tensors(
              path: path,
              problem:
                "tensor \(key): expected floating-point numbers, found \(info.dtype.rawValue)")
          }
          parameter.value = try checkpoint.tensor(key, dtype: .float32, on: device)
        } catch let error as SafetensorsError { throw .checkpoint(error) } catch let error
          as AdapterError
        { throw error } catch { preconditionFailure("load: unexpected error \(error)") }
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
    return config
  }

  /// Writes the adapter of `model` into the existing folder `directory`.
  public static func write(_ model: QwenModel, config: AdapterConfig, to directory: String)
    throws(TrainingError)
  {
    var tensors: [(key: String, tensor: Tensor)] = []
    for (path, adapter) in model.namedAdapters() {
      for (name, node) in adapter.children {
        guard let parameter = node as? Parameter else { continue }
        tensors.append((keyPrefix + path + "." + name, parameter.value))
      }
    }
    tensors.sort { $0.key.utf8.lexicographicallyPrecedes($1.key.utf8) }
    do {
      try SafetensorsWriter.write(
        tensors, to: FileSystem.join(directory, "adapter_model.safetensors"))
    } catch { throw .tensors(error) }
    do {
      try AtomicFile.write(
        config.json.serialized(style: .indented(2)),
        to: FileSystem.join(directory, "adapter_config.json"))
    } catch { throw .file(error) }
  }

  private static func tensorsByModule(_ checkpoint: Checkpoint, _ path: String)
    throws(AdapterError) -> [String: (a: String?, b: String?)]
  {
    var result: [String: (a: String?, b: String?)] = [:]
    for key in checkpoint.keys {
      guard key.hasPrefix(keyPrefix) else {
        throw .tensors(
          path: path, problem: "tensor \(key): expected a name beginning with \(keyPrefix)")
      }
      let rest = key.dropFirst(keyPrefix.count)
      // Newer files end in ".weight"; with an adapter's name in between they are PEFT's in-memory names.
      if let module = strip(rest, [".lora_A.weight", ".lora_A.default.weight"]) {
        result[module, default: (nil, nil)].a = key
      } else if let module = strip(rest, [".lora_B.weight", ".lora_B.default.weight"]) {
        result[module, default: (nil, nil)].b = key
      } else {
        throw .tensors(path: path, problem: "tensor \(key): expected lora_A or lora_B")
      }
    }
    return result
  }

  private static func strip(_ key: Substring, _ suffixes: [String]) -> String? {
    for suffix in suffixes where key.hasSuffix(suffix) { return String(key.dropLast(suffix.count)) }
    return nil
  }
}
