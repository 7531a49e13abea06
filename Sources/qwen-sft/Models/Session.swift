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
  /// The model in `folder`, with the adapter in `adapter` where there is one.
  ///
  /// In bfloat16 the frozen weights are kept as such; parameters that are all trained stay float32 and are converted
  /// where they are used. `placement` is `.owned` for work of many tokens.
  static func model(
    _ folder: String, adapter: String?, precision: PrecisionOptions, trainsAll: Bool = false,
    placement: Checkpoint.Placement = .mapped, on device: Device
  ) throws -> QwenModel {
    let isBFloat16 = precision.bf16 ?? (device.preferredComputeDType == .bfloat16)
    var options = try precision.weights()
    options.dtype = isBFloat16 && !trainsAll ? .bfloat16 : .float32
    options.placement = placement
    let model = try QwenModel.load(directory: folder, options: options, on: device)
    if isBFloat16 { model.computeDType = .bfloat16 }
    if let adapter { _ = try AdapterFile.load(adapter, into: model, dropout: 0, on: device) }
    return model
  }

  /// Ids that end an answer: those of generation_config.json, config.json, `<|im_end|>` and `<|endoftext|>`.
  static func stopIDs(_ folder: String, model: QwenModel, tokenizer: Tokenizer) throws -> Set<Int32>
  {
    var ids = Set(model.config.eosTokenIDs.map { Int32($0) })
    let path = FileSystem.join(folder, "generation_config.json")
    if FileSystem.kind(of: path) == .file {
      let value: JSON
      do { value = try JSON.parse(FileSystem.readFile(path)) } catch {
        throw CLIError.argument(option: "model", problem: "\(path): \(error)")
      }
      let eos = value["eos_token_id"] ?? .null
      for id in eos.arrayValue ?? [eos] {
        if let number = id.integerValue, let small = Int32(exactly: number) { ids.insert(small) }
      }
    }
    for token in ["<|im_end|>", "<|endoftext|>"] {
      if let id = tokenizer.tokenID(for: token) { ids.insert(id) }
    }
    return ids
  }
}
