// Reading an exported file back: the architecture from its metadata, the weights from its blocks. Nothing of what it was made
// from is used.

import Autograd
import Files
package import GGUF
import NN
import OrderedJSON
package import QwenModel
package import Tensor

/// The model in a GGUF file.
package final class GGUFModel: WeightSource {
  package let config: QwenConfig
  /// The file.
  package let file: GGUFFile
  private let device: Device

  /// Opens the model at `path`; tensors that do not fit its metadata are found now.
  package init(path: String, on device: Device = .cpu) throws(ExportError) {
    self.device = device
    do throws(GGUFError) {
      file = try GGUFFile(path: path)
      config = try Self.config(of: file)
      for (key, parameter) in QwenModel(config).namedParameters() {
        let shape = parameter.shape.dimensions
        guard let name = GGUFNames.name(of: key), let info = file.info(of: name),
          info.shape == shape
        else {
          throw .tensor(
            path: path, name: GGUFNames.name(of: key) ?? key, problem: "expected one of \(shape)")
        }
      }
    } catch { throw .gguf(error) }
  }

  package func weight(_ key: String, shape: [Int]) throws(ExportError) -> Tensor {
    do throws(GGUFError) {
      return Tensor(
        try file.floats(of: GGUFNames.name(of: key) ?? key), shape: Shape(shape), on: device)
    } catch { throw .gguf(error) }
  }

  /// The whole model in float32.
  package func loaded() throws(ExportError) -> QwenModel {
    let model = QwenModel(config)
    for (key, parameter) in model.namedParameters() {
      parameter.value = try weight(key, shape: parameter.shape.dimensions)
    }
    return model
  }

  /// The architecture that the metadata describe.
  private static func config(of file: GGUFFile) throws(GGUFError) -> QwenConfig {
    func wrong(_ key: String, _ expected: String) -> GGUFError {
      .metadata(path: file.path, key: key, problem: "expected \(expected)")
    }
    guard let arch = file.value(of: "general.architecture")?.stringValue,
      QwenConfig.ModelType(rawValue: arch) != nil
    else { throw wrong("general.architecture", "qwen2 or qwen3") }
    func integer(_ key: String) throws(GGUFError) -> JSON {
      guard let value = file.value(of: "\(arch).\(key)")?.integerValue else {
        throw wrong("\(arch).\(key)", "an integer")
      }
      return .integer(value)
    }
    func number(_ key: String) throws(GGUFError) -> JSON {
      guard let value = file.value(of: "\(arch).\(key)")?.doubleValue else {
        throw wrong("\(arch).\(key)", "a number")
      }
      return .number(value)
    }
    guard let tokens = file.value(of: "tokenizer.ggml.tokens")?.stringsValue else {
      throw wrong("tokenizer.ggml.tokens", "a list of texts")
    }
    let object = JSONObject([
      ("model_type", .string(arch)), ("vocab_size", .integer(tokens.count)),
      ("hidden_size", try integer("embedding_length")),
      ("intermediate_size", try integer("feed_forward_length")),
      ("num_hidden_layers", try integer("block_count")),
      ("num_attention_heads", try integer("attention.head_count")),
      ("num_key_value_heads", try integer("attention.head_count_kv")),
      ("head_dim", try integer("attention.key_length")),
      ("max_position_embeddings", try integer("context_length")),
      ("rms_norm_eps", try number("attention.layer_norm_rms_epsilon")),
      ("rope_theta", try number("rope.freq_base")),
      ("tie_word_embeddings", .bool(file.info(of: "output.weight") == nil)),
    ])
    do throws(ModelError) {
      return try QwenConfig(
        json: JSON.object(object).serializedBytes(style: .compact), path: file.path)
    } catch { throw .metadata(path: file.path, key: "\(arch).…", problem: error.description) }
  }

  /// The changes that the adapter in the GGUF file at `path` makes, by the paths of the linear maps of `config`'s model.
  package static func adapter(path: String, for config: QwenConfig, on device: Device = .cpu)
    throws(ExportError) -> [String: LowRankDelta]
  {
    do throws(GGUFError) {
      let file = try GGUFFile(path: path)
      guard file.value(of: "adapter.type")?.stringValue == "lora",
        let alpha = file.value(of: "adapter.lora.alpha")?.doubleValue
      else { throw .metadata(path: path, key: "adapter.lora.alpha", problem: "expected a number") }
      var deltas: [String: LowRankDelta] = [:]
      for (module, linear) in QwenModel(config).namedLinears() {
        guard let name = GGUFNames.name(of: module + ".weight"),
          let a = file.info(of: name + ".lora_a"), let b = file.info(of: name + ".lora_b")
        else { continue }
        guard a.shape.count == 2, b.shape == [linear.outputSize, a.shape[0]],
          a.shape[1] == linear.inputSize
        else { throw .tensor(path: path, name: name, problem: "its factors do not fit the model") }
        deltas[module] = LowRankDelta(
          a: Tensor(try file.floats(of: a.name), shape: Shape(a.shape), on: device),
          b: Tensor(try file.floats(of: b.name), shape: Shape(b.shape), on: device),
          scale: alpha / Double(a.shape[0]))
      }
      guard 2 * deltas.count == file.tensors.count else {
        throw .header(
          path: path, offset: 0, problem: "it has tensors that the model has no use for")
      }
      return deltas
    } catch { throw .gguf(error) }
  }
}
