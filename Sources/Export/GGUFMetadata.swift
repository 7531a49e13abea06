// The metadata of an exported file: what llama.cpp's converter writes for the same model, in its order.

import Files
import GGUF
import OrderedJSON
import QwenModel
import SFT
import Tokenizer

/// Keys and values of GGUF files.
enum GGUFMetadata {
  typealias Pairs = [(key: String, value: GGUFValue)]

  /// The keys of a whole model.
  static func model(
    _ weights: MergedWeights, name: String, type: GGUFFileType, tokenizer: Tokenizer
  ) throws(ExportError) -> Pairs {
    let config = weights.config
    let arch = config.modelType.rawValue
    var pairs: Pairs = [
      ("general.architecture", .string(arch)), ("general.type", .string("model")),
      ("general.name", .string(name)),
      ("general.size_label", .string(sizeLabel(weights.parameterCount))),
    ]
    pairs += sampling(weights.folder)
    pairs += [
      ("\(arch).block_count", .uint32(UInt32(config.numHiddenLayers))),
      ("\(arch).context_length", .uint32(UInt32(config.maxPositionEmbeddings))),
      ("\(arch).embedding_length", .uint32(UInt32(config.hiddenSize))),
      ("\(arch).feed_forward_length", .uint32(UInt32(config.intermediateSize))),
      ("\(arch).attention.head_count", .uint32(UInt32(config.numAttentionHeads))),
      ("\(arch).attention.head_count_kv", .uint32(UInt32(config.numKeyValueHeads))),
      ("\(arch).rope.freq_base", .float32(Float(config.ropeTheta))),
      ("\(arch).attention.layer_norm_rms_epsilon", .float32(Float(config.rmsNormEps))),
      ("\(arch).attention.key_length", .uint32(UInt32(config.headDim))),
      ("\(arch).attention.value_length", .uint32(UInt32(config.headDim))),
      ("\(arch).rope.dimension_count", .uint32(UInt32(config.headDim))),
      ("general.file_type", .uint32(type.number)),
    ]
    pairs += try vocabulary(weights, tokenizer)
    pairs.append(("general.quantization_version", .uint32(2)))
    return pairs
  }

  /// The keys of an adapter alone, whose factors llama.cpp scales by `alpha` over their rank.
  static func adapter(
    _ config: QwenConfig, name: String, baseName: String, alpha: Double, type: GGUFFileType
  ) -> Pairs {
    [
      ("general.architecture", .string(config.modelType.rawValue)),
      ("general.type", .string("adapter")), ("adapter.type", .string("lora")),
      ("general.name", .string(name)), ("general.base_model.count", .uint32(1)),
      ("general.base_model.0.name", .string(baseName)),
      ("general.file_type", .uint32(type.number)), ("adapter.lora.alpha", .float32(Float(alpha))),
      ("general.quantization_version", .uint32(2)),
    ]
  }

  // MARK: Parts

  /// The number of parameters as names of models have it: "0.60B", "75M".
  static func sizeLabel(_ count: Int) -> String {
    let (scaled, suffix): (Double, String) =
      switch count {
      case 1_000_000_000_001...: (Double(count) * 1e-12, "T")
      case 1_000_000_001...: (Double(count) * 1e-9, "B")
      case 1_000_001...: (Double(count) * 1e-6, "M")
      default: (Double(count) * 1e-3, "K")
      }
    let whole = Int(scaled.rounded(.toNearestOrEven))
    let digits = max(0, 2 - (whole == 0 ? 0 : String(whole).count))
    if digits == 0 { return "\(whole)\(suffix)" }
    let unit = digits == 1 ? 10.0 : 100.0
    let number = Int((scaled * unit).rounded(.toNearestOrEven))
    let fraction = String(number % Int(unit))
    return "\(number / Int(unit))."
      + String(repeating: "0", count: digits - fraction.count) + fraction + suffix
  }

  /// What generation_config.json recommends.
  private static func sampling(_ folder: String) -> Pairs {
    let path = FileSystem.join(folder, "generation_config.json")
    guard let bytes = try? FileSystem.readFile(path, maximumByteCount: 1 << 20),
      let json = try? JSON.parse(bytes)
    else { return [] }
    var pairs: Pairs = []
    if let value = json["top_k"]?.integerValue, let number = Int32(exactly: value) {
      pairs.append(("general.sampling.top_k", .int32(number)))
    }
    for (key, name) in [
      ("top_p", "top_p"), ("min_p", "min_p"), ("temperature", "temp"),
      ("repetition_penalty", "penalty_repeat"),
    ] {
      if let value = json[key]?.doubleValue, value.isFinite {
        pairs.append(("general.sampling.\(name)", .float32(Float(value))))
      }
    }
    return pairs
  }

  /// Tokens, merges, special ids and templates.
  private static func vocabulary(_ weights: MergedWeights, _ tokenizer: Tokenizer)
    throws(ExportError) -> Pairs
  {
    let size = weights.config.vocabSize
    var (tokens, types) = ([String](), [Int32]())
    tokens.reserveCapacity(size)
    for id in 0..<Int32(size) {
      let (token, type) = entry(id, tokenizer)
      tokens.append(token)
      types.append(type)
    }
    if let id = tokenizer.addedTokens.keys.max(), id >= size {
      throw .refused(
        path: weights.folder, problem: "token \(id) is beyond the vocabulary of \(size)")
    }
    var pairs: Pairs = [
      ("tokenizer.ggml.model", .string("gpt2")),
      ("tokenizer.ggml.pre", .string(tokenizer.preTokenizerName)),
      ("tokenizer.ggml.tokens", .strings(tokens)), ("tokenizer.ggml.token_type", .int32s(types)),
      ("tokenizer.ggml.merges", .strings(tokenizer.merges.map { "\($0.left) \($0.right)" })),
    ]
    pairs += try specialIDs(weights, tokenizer)
    pairs += templates(weights.folder)
    return pairs
  }

  /// The text and ggml's kind of token `id`: 1 normal, 3 control, 4 user-defined, 5 unused.
  private static func entry(_ id: Int32, _ tokenizer: Tokenizer) -> (String, Int32) {
    guard let token = tokenizer.token(for: id) else { return ("[PAD\(id)]", 5) }
    guard let added = tokenizer.addedTokens[id] else { return (token, 1) }
    let looksSpecial =
      token.hasPrefix("<|") && token.hasSuffix("|>")
      || token.hasPrefix("<\u{FF5C}") && token.hasSuffix("\u{FF5C}>")
      || token.hasPrefix("<unused") && token.hasSuffix(">")
      || ["<pad>", "<mask>", "<2mass>", "[@BOS@]"].contains(token)
    return (token, added.isSpecial || looksSpecial ? 3 : 4)
  }

  /// The ids of roles: those of tokenizer_config.json, else of config.json, as the converter finds them; and the end of a
  /// turn, which is not always the end of a text.
  private static func specialIDs(_ weights: MergedWeights, _ tokenizer: Tokenizer)
    throws(ExportError) -> Pairs
  {
    let size = weights.config.vocabSize
    let path = FileSystem.join(weights.folder, "config.json")
    let config = (try? FileSystem.readFile(path, maximumByteCount: 1 << 24)).flatMap {
      try? JSON.parse($0)
    }
    var pairs: Pairs = []
    for (role, name, known) in [
      ("bos", "bos", tokenizer.bosTokenID), ("eos", "eos", tokenizer.eosTokenID),
      ("pad", "padding", tokenizer.padTokenID),
    ] {
      let configured = config?["\(role)_token_id"]?.integerValue
      guard let id = known.map({ Int($0) }) ?? configured, (0..<size).contains(id) else { continue }
      pairs.append(("tokenizer.ggml.\(name)_token_id", .uint32(UInt32(id))))
    }
    if let id = tokenizer.tokenID(for: "<|im_end|>"), (0..<size).contains(Int(id)) {
      pairs.append(("tokenizer.ggml.eot_token_id", .uint32(UInt32(id))))
    }
    pairs.append(("tokenizer.ggml.add_bos_token", .bool(false)))
    return pairs
  }

  /// The chat template, and others by their names.
  private static func templates(_ folder: String) -> Pairs {
    guard let source = try? ChatTemplateSource(folder: folder) else { return [] }
    var (pairs, names): (Pairs, [String]) = ([], [])
    for template in source.templates {
      if template.name == "default" {
        pairs.append(("tokenizer.chat_template", .string(template.text)))
      } else if !names.contains(template.name), isPlainName(template.name) {
        names.append(template.name)
        pairs.append(("tokenizer.chat_template.\(template.name)", .string(template.text)))
      }
    }
    if !names.isEmpty { pairs.insert(("tokenizer.chat_templates", .strings(names)), at: 0) }
    var seen = Set<String>()
    return pairs.filter { seen.insert($0.key).inserted }
  }

  private static func isPlainName(_ name: String) -> Bool {
    !name.isEmpty
      && name.utf8.allSatisfy {
        (0x61...0x7A).contains($0) || (0x41...0x5A).contains($0) || (0x30...0x39).contains($0)
          || $0 == 0x5F || $0 == 0x2D
      }
  }
}
