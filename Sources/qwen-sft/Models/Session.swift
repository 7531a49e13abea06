// A model ready for work: its folder, its tokenizer and template, its weights, its adapter.

import Files
import NN
import OrderedJSON
import QwenModel
import Safetensors
import SFT
import Tensor
import Tokenizer

/// Loading what the commands share.
enum Session {
  /// What a model is loaded for.
  enum Use {
    /// An adapter is trained: weights are copied into memory of their own, and compressed where blocks do not keep all of their insides.
    case training(keepsEverything: Bool)
    /// All parameters are trained.
    case trainingAll
    /// Rows are read: weights are copied where there is plenty of memory.
    case evaluation
    /// Tokens are generated: as for evaluation, and matrices of bfloat16 that are copied are compressed, which prompts are slower with, and
    /// answers faster.
    case generation
  }

  /// The model in `folder`, with the adapter in `adapter` where there is one.
  ///
  /// Frozen matrices are kept in bfloat16 where the arithmetic is, and in float32 arithmetic where the file has them so;
  /// parameters that are all trained stay float32 and are converted where they are used.
  static func model(
    _ folder: String, adapter: String?, precision: PrecisionOptions, for use: Use,
    on device: Device
  ) throws -> QwenModel {
    let isBFloat16 = computesInBFloat16(precision, on: device)
    let options = try weights(
      precision, for: use, placement: placement(folder), computesInBFloat16: isBFloat16)
    let model = try QwenModel.load(directory: folder, options: options, on: device)
    if isBFloat16 { model.computeDType = .bfloat16 }
    if let adapter { _ = try AdapterFile.load(adapter, into: model, dropout: 0, on: device) }
    return model
  }

  /// Copying weights takes as long as some twenty tokens, and what is read from large pages is decoded a fifth faster. Where the
  /// copy would take most of what is free, weights are read where the file lies.
  private static func placement(_ folder: String) -> Checkpoint.Placement {
    guard let byteCount = try? Checkpoint(folder: folder).byteCount,
      let available = MemoryInformation.current().available
    else { return .mapped }
    return byteCount <= available / 2 ? .owned : .mapped
  }

  /// Whether there is room for a screen of the head beside `model`, by the same measure: a byte for each element.
  static func screensHead(of model: QwenModel) -> Bool {
    guard let available = MemoryInformation.current().available else { return false }
    return model.config.vocabSize * model.config.hiddenSize <= available / 2
  }

  /// Whether arithmetic is in bfloat16: as asked for, else as the device prefers it.
  static func computesInBFloat16(_ precision: PrecisionOptions, on device: Device) -> Bool {
    precision.bf16 ?? (device.preferredComputeDType == .bfloat16)
  }

  /// How the weights of a model are taken up; `placement` where they are only read.
  static func weights(
    _ precision: PrecisionOptions, for use: Use, placement: Checkpoint.Placement = .owned,
    computesInBFloat16: Bool
  ) throws -> WeightOptions {
    var options = try precision.weights()
    options.dtype = computesInBFloat16 ? .bfloat16 : .float32
    options.keepsBFloat16 = true
    options.placement = placement
    switch use {
    case .training(let keepsEverything):
      options.placement = .owned
      options.compressesBFloat16 = !keepsEverything
      options.multipliesManyRows = true
    case .trainingAll:
      options.placement = .owned
      options.dtype = .float32
      options.keepsBFloat16 = false
    case .evaluation: break
    case .generation: options.compressesBFloat16 = placement == .owned
    }
    return options
  }

  /// What the model of a run with `config` is loaded for.
  static func use(_ config: TrainingConfig, on device: Device) -> Use {
    guard let lora = config.lora else { return .trainingAll }
    // What an adapter from a decomposition changes would be unpacked at once.
    if lora.initialization.changesBase { return .training(keepsEverything: true) }
    return use(config.gradientCheckpointing, on: device)
  }

  /// The same for an adapter. A plan for a device with memory of its own counts on this machine, which compresses what the device does not.
  static func use(_ checkpointing: GradientCheckpointing, on device: Device) -> Use {
    if case .off = checkpointing { return .training(keepsEverything: true) }
    return .training(keepsEverything: device.freeByteCount != nil)
  }

  /// How tokens are chosen where a request says nothing: as generation_config.json has it, else as OpenAI does.
  static func samplingDefaults(_ folder: String) throws -> SamplingOptions {
    let config = try generationConfig(folder)
    func number(_ key: String, _ range: ClosedRange<Double>) throws(CLIError) -> Double? {
      guard let value = config[key], value != .null else { return nil }
      guard let number = value.doubleValue, range.contains(number) else {
        throw refusal(
          folder, "\(key): expected a number from \(range.lowerBound) to \(range.upperBound)", value
        )
      }
      return number
    }
    var options = SamplingOptions(temperature: 1, topP: 1, topK: 0)
    options.temperature = try number("temperature", 0...100) ?? options.temperature
    options.topP = try number("top_p", 0...1) ?? options.topP
    if let value = config["top_k"], value != .null {
      // -1 is vLLM's way to say that there is none.
      guard let count = value.integerValue, (-1...1_000_000_000).contains(count) else {
        throw refusal(folder, "top_k: expected a whole number, 0 or more", value)
      }
      options.topK = max(0, count)
    }
    options.minP = try number("min_p", 0...1) ?? options.minP
    options.repetitionPenalty =
      try number("repetition_penalty", 0.01...100) ?? options.repetitionPenalty
    if let value = config["do_sample"], value != .null {
      guard let samples = value.boolValue else {
        throw refusal(folder, "do_sample: expected true or false", value)
      }
      if !samples { options.temperature = 0 }
    }
    return options
  }

  /// generation_config.json; empty where there is none.
  private static func generationConfig(_ folder: String) throws(CLIError) -> JSON {
    let path = FileSystem.join(folder, "generation_config.json")
    guard FileSystem.kind(of: path) == .file else { return .object([:]) }
    let json: JSON
    do { json = try JSON.parse(FileSystem.readFile(path, maximumByteCount: 1 << 24)) } catch {
      throw .argument(option: "model", problem: "\(path): \(error)")
    }
    guard case .object = json else {
      throw .argument(option: "model", problem: "\(path): expected an object")
    }
    return json
  }

  /// What is said of a value in generation_config.json that makes no sense.
  private static func refusal(_ folder: String, _ expected: String, _ value: JSON) -> CLIError {
    let path = FileSystem.join(folder, "generation_config.json")
    return .argument(option: "model", problem: "\(path): \(expected), found \(value.serialized())")
  }

  /// Ids that end an answer: those of generation_config.json, config.json, `<|im_end|>` and `<|endoftext|>`.
  static func stopIDs(_ folder: String, model: QwenModel, tokenizer: Tokenizer) throws -> Set<Int32>
  {
    try stopIDs(folder, config: model.config, tokenizer: tokenizer)
  }

  /// The same of a model that is not loaded.
  static func stopIDs(_ folder: String, config: QwenConfig, tokenizer: Tokenizer) throws
    -> Set<Int32>
  {
    var ids = Set(config.eosTokenIDs.map { Int32($0) })
    let eos = try generationConfig(folder)["eos_token_id"] ?? .null
    for id in eos.arrayValue ?? (eos == .null ? [] : [eos]) {
      guard let number = id.integerValue, let small = Int32(exactly: number), small >= 0 else {
        throw refusal(
          folder, "eos_token_id: expected the number of a token, or a list of some", eos)
      }
      ids.insert(small)
    }
    for token in ["<|im_end|>", "<|endoftext|>"] {
      if let id = tokenizer.tokenID(for: token) { ids.insert(id) }
    }
    return ids
  }
}
