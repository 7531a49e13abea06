// Which model, which adapter, and how its numbers are kept. The names are those of Hugging Face's scripts.

import ArgumentParser
import Files
import Hub
import QwenModel
import Tensor

/// `--model`: the model to work with.
struct ModelOptions: ParsableArguments {
  @Option(
    name: [.customLong("model"), .customLong("model-name-or-path")],
    help: ArgumentHelp(
      "Model folder, or a name such as Qwen/Qwen3-4B: in the Hugging Face cache, else downloaded (default: the demo model).",
      valueName: "model"))
  var model: String?

  @Option(
    name: [.customLong("model-revision"), .customLong("revision")],
    help: ArgumentHelp(
      "Branch, tag or commit of a model given by name (default: main).", valueName: "revision"))
  var modelRevision: String?

  @Flag(help: "Never use the network: models by name must be in the Hugging Face cache.")
  var offline = false

  /// The model's folder, with at least what is needed; without `--model` that of the demo model, said on standard
  /// error.
  func folder(_ need: ModelNeed = .model) throws(CLIError) -> String {
    if let model {
      return try ModelLocation.current.folder(
        of: model, revision: modelRevision, need: need, isOffline: offline)
    }
    let folder = try DemoFiles.modelFolder()
    Diagnostics.notice("no --model: using the demo model (\(folder))")
    return folder
  }
}

/// `--adapter`: a LoRA adapter on top of the model.
struct AdapterOptions: ParsableArguments {
  @Option(
    name: [
      .customLong("adapter"), .customLong("adapter-name-or-path"), .customLong("adapter-dir"),
    ],
    help: ArgumentHelp(
      "Folder of a LoRA adapter as PEFT or this program writes it, or its name on the hub.",
      valueName: "dir"))
  var adapter: String?

  /// The adapter's folder, nil without the option; it is downloaded where it is a name that is not here, unless
  /// `isOffline`.
  func folder(isOffline: Bool) throws(CLIError) -> String? {
    guard let adapter else { return nil }
    return try ModelLocation.current.folder(of: adapter, need: .adapter, isOffline: isOffline)
  }
}

/// `--adapter` and `--offline` of the commands that look at an adapter alone.
struct AdapterFolderOptions: ParsableArguments {
  @Option(
    name: [
      .customLong("adapter"), .customLong("adapter-name-or-path"), .customLong("adapter-dir"),
    ],
    help: ArgumentHelp(
      "Folder of the adapter, of PEFT's or mlx-lm's form, or its name on the hub.",
      valueName: "dir"))
  var adapter: String

  @Flag(help: "Never use the network: an adapter by name must be in the Hugging Face cache.")
  var offline = false

  /// The adapter's folder; it is downloaded where it is a name that is not here, unless `offline`.
  func folder() throws(CLIError) -> String {
    try ModelLocation.current.folder(of: adapter, need: .adapter, isOffline: offline)
  }
}

/// `--bf16` and `--use_qlora`: how weights are kept and computed with.
struct PrecisionOptions: ParsableArguments {
  @Flag(
    inversion: .prefixedNo, exclusivity: .chooseLast,
    help: "Compute in bfloat16 (default: on a GPU yes, on the CPU no).")
  var bf16: Bool?

  @Flag(
    name: [.customLong("use-qlora"), .customLong("load-in-4bit")], inversion: .prefixedNo,
    exclusivity: .chooseLast, help: "Keep the frozen weights in 4 bits (NF4, double quantization).")
  var useQLoRA = false

  @Flag(
    inversion: .prefixedNo, exclusivity: .chooseLast,
    help: "Keep weights quantized by --use_qlora for the next start.")
  var weightsCache = true

  /// How weights are taken up.
  func weights() throws(CLIError) -> WeightOptions {
    var options = WeightOptions()
    options.notice = { Diagnostics.notice($0) }
    guard useQLoRA else { return options }
    options.quantization = QuantizedTensor.Format()
    if weightsCache {
      options.cache = WeightsCache(
        folder: FileSystem.join(try Environment.current.cacheFolder(), "weights"))
    }
    return options
  }
}
