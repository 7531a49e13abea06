// config.json of a Qwen2, Qwen2.5 or Qwen3 checkpoint, in the forms that transformers has written over the years.

import Files
package import OrderedJSON
package import Safetensors

/// The architecture of a model, with Hugging Face's names. Immutable and checked.
public struct QwenConfig: Sendable, Hashable {
  /// The families that can be loaded.
  public enum ModelType: String, Sendable, Hashable {
    /// Qwen1.5 to Qwen2.5, and Qwen3.
    case qwen2, qwen3
  }

  /// `model_type`.
  public let modelType: ModelType
  /// Rows V of the embedding: at least as many as the tokenizer has ids, often more.
  public private(set) var vocabSize: Int
  /// C.
  public let hiddenSize: Int
  /// F.
  public let intermediateSize: Int
  /// L.
  public private(set) var numHiddenLayers: Int
  /// H.
  public let numAttentionHeads: Int
  /// K, which divides H.
  public let numKeyValueHeads: Int
  /// Size of one head; independent of hidden size and head count in Qwen3.
  public let headDim: Int
  /// ε of every norm.
  public let rmsNormEps: Double
  /// Base of the rotary angles.
  public let ropeTheta: Double
  /// Positions that the model was trained for; longer rows are computed all the same.
  public let maxPositionEmbeddings: Int
  /// Whether the head is the embedding.
  public private(set) var tieWordEmbeddings: Bool
  /// Whether q, k and v have biases (Qwen2 always, Qwen3 with `attention_bias`).
  public let qkvBias: Bool
  /// Whether o has a bias (Qwen3 with `attention_bias`).
  public let oBias: Bool
  /// Whether the heads of q and k are normalised (Qwen3).
  public let qkNorm: Bool
  /// Ids that end generation, as config.json names them.
  public let eosTokenIDs: [Int]
  /// The checkpoint's own element type ("bfloat16"), where config.json names one.
  public let dtypeName: String?
  /// Whether config.json names bitsandbytes' NF4 as the form of the weights.
  public let isQuantized: Bool

  /// Reads `config.json` in a model directory.
  public init(directory: String) throws(ModelError) {
    let path = FileSystem.join(directory, "config.json")
    let bytes: [UInt8]
    do { bytes = try FileSystem.readFile(path, maximumByteCount: 1 << 24) } catch {
      throw .checkpoint(.file(error))
    }
    try self.init(json: bytes, path: path)
  }

  /// Reads the bytes of a config.json; `path` is for messages.
  public init(json bytes: [UInt8], path: String = "config.json") throws(ModelError) {
    let root: JSON
    do throws(JSONError) { root = try JSON.parse(bytes) } catch {
      throw .config(path: path, problem: "is not JSON: \(error)")
    }
    guard case .object(let object) = root else {
      throw .config(path: path, problem: "is \(root.kindDescription), expected an object")
    }
    let fields = ConfigFields(object: object, path: path)
    let name = try fields.string("model_type", default: nil)
    guard let type = ModelType(rawValue: name) else {
      throw .config(
        path: path, problem: "model_type is \"\(name)\", expected qwen2 or qwen3")
    }
    modelType = type
    vocabSize = try fields.integer("vocab_size", 1...(1 << 24))
    hiddenSize = try fields.integer("hidden_size", 1...(1 << 20))
    intermediateSize = try fields.integer("intermediate_size", 1...(1 << 22))
    numHiddenLayers = try fields.integer("num_hidden_layers", 1...4096)
    numAttentionHeads = try fields.integer("num_attention_heads", 1...65_536)
    numKeyValueHeads = try fields.integer(
      "num_key_value_heads", 1...65_536, default: numAttentionHeads)
    if object["head_dim"] == nil && type == .qwen2 {
      guard hiddenSize % numAttentionHeads == 0 else {
        throw .config(
          path: path,
          problem:
            "hidden_size \(hiddenSize) is not a multiple of num_attention_heads \(numAttentionHeads)"
        )
      }
      headDim = hiddenSize / numAttentionHeads
    } else {
      headDim = try fields.integer("head_dim", 2...8192, default: 128)
    }
    guard numAttentionHeads % numKeyValueHeads == 0 else {
      throw .config(
        path: path,
        problem:
          "num_attention_heads \(numAttentionHeads) is not a multiple of num_key_value_heads \(numKeyValueHeads)"
      )
    }
    guard headDim % 2 == 0 else {
      throw .config(path: path, problem: "head_dim \(headDim) is odd; rotary embedding needs pairs")
    }
    rmsNormEps = try fields.double("rms_norm_eps", 0...1, default: 1e-6)
    maxPositionEmbeddings = try fields.integer(
      "max_position_embeddings", 1...(1 << 30), default: 32_768)
    tieWordEmbeddings = try fields.bool("tie_word_embeddings", default: false)
    let attentionBias = try fields.bool("attention_bias", default: false)
    qkNorm = type == .qwen3
    qkvBias = type == .qwen2 || attentionBias
    oBias = type == .qwen3 && attentionBias
    ropeTheta = try fields.ropeTheta()
    try fields.requirePlainArchitecture(layers: numHiddenLayers)
    eosTokenIDs = try fields.tokenIDs("eos_token_id")
    let (newName, oldName) = try (
      fields.optionalString("dtype"), fields.optionalString("torch_dtype")
    )
    dtypeName = newName ?? oldName
    isQuantized = try fields.isQuantizedToNF4()
  }

  /// The same with a head of its own where the checkpoint has both matrices and they differ: transformers 5 does not tie them then,
  /// whatever config.json says (`PreTrainedModel.tie_weights`).
  package func untyingDifferentHead(in checkpoint: Checkpoint) throws(SafetensorsError) -> Self {
    let (head, embedding) = ("lm_head.weight", "model.embed_tokens.weight")
    guard tieWordEmbeddings, checkpoint.contains(head), checkpoint.contains(embedding),
      try checkpoint.dtype(of: head).isFloatingPoint
    else { return self }
    var copy = self
    copy.tieWordEmbeddings = try checkpoint.hasEqualTensors(head, embedding)
    return copy
  }

  /// Makes the fields of a config.json say that the head is not tied where it is not, as other readers go by the flag; whether they
  /// said otherwise.
  @discardableResult
  package func stateTie(in fields: inout JSONObject) -> Bool {
    let name = "tie_word_embeddings"
    guard !tieWordEmbeddings, fields[name]?.boolValue == true else { return false }
    fields[name] = .bool(false)
    return true
  }

  /// The same architecture with another number of layers and another vocabulary, to measure one block by itself.
  package func resized(layers: Int, vocabulary: Int) -> QwenConfig {
    var copy = self
    copy.numHiddenLayers = layers
    copy.vocabSize = vocabulary
    return copy
  }
}
