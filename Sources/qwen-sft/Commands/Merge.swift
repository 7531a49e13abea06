// `qwen-sft merge`: an adapter made part of its model.

import ArgumentParser
import Export
import Files
import OrderedJSON
import SFT
import Tensor

extension CheckpointMerge.OutputDType: ExpressibleByArgument {}

/// Writes a model with its adapter merged in.
struct Merge: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Merges an adapter into 16- or 32-bit weights, in Hugging Face layout.")

  @OptionGroup var model: ModelOptions
  @OptionGroup var adapter: AdapterOptions
  @OptionGroup var data: DataOptions
  @OptionGroup var common: CommonOptions

  @Option(help: ArgumentHelp("Folder for the merged model.", valueName: "dir"))
  var outputDir: String

  @Option(
    help: ArgumentHelp(
      "Type of the weights (default: the base's own; bfloat16 for a quantized base).",
      valueName: "dtype"))
  var dtype: CheckpointMerge.OutputDType?

  @Option(
    help: ArgumentHelp("Most bytes of a file, such as 5GB or 800MB.", valueName: "size"))
  var maxShardSize = MemorySize(byteCount: 50_000_000_000)

  @Flag(help: "Replace a folder that is there.")
  var overwriteOutputDir = false

  @Flag(
    name: [.customLong("use-qlora"), .customLong("load-in-4bit")],
    help: "Compare with the base in 4 bits, as a QLoRA run has it.")
  var useQLoRA = false

  @Option(help: ArgumentHelp("Rows to compare on; 0 for none.", valueName: "n"))
  var check = 8

  mutating func validate() throws {
    if adapter.adapter == nil {
      throw ValidationError("--adapter: expected the folder of an adapter, found none")
    }
    if check < 0 { throw ValidationError("--check: expected 0 or more, found \(check)") }
  }

  mutating func run() throws {
    let device = try common.start()
    let folder = try model.folder()
    // validate() has seen to it that there is one.
    guard let adapterFolder = try adapter.folder(isOffline: model.offline) else { return }
    let place = try OutputFolder(
      outputDir, isReplacing: overwriteOutputDir, apartFrom: [folder, adapterFolder])
    let weights = try MergedWeights(folder: folder, adapter: adapterFolder, on: device)
    Diagnostics.notice(
      weights.isQuantized
        ? "\(folder) is in NF4: merging into its dequantized weights (give the original model with --model to merge into that)"
        : "merging into the original weights of \(folder)")
    let rows = try ExportRows.rows(folder: folder, data: data, count: check)
    var merge = CheckpointMerge()
    merge.dtype = dtype
    merge.maxShardSize = maxShardSize.byteCount
    Interrupts.listen()
    weights.isStopRequested = { Interrupts.isStopRequested }
    let publication = try place.publication()
    let summary = try merge.write(weights, to: publication.temporaryPath)
    if !rows.isEmpty {
      let merged = try MergedWeights(folder: publication.temporaryPath, adapter: nil, on: device)
      let base = BaseWeights(weights, quantization: useQLoRA ? QuantizedTensor.Format() : nil)
      let comparison = try ModelComparison(
        of: StreamedModel(BaseWeights(merged), on: device),
        with: StreamedModel(base, deltas: weights.deltas, on: device), on: rows)
      Diagnostics.notice(ExportRows.logitText(comparison))
    }
    try publication.publish(replacing: place.replaces)
    Diagnostics.notice(
      "\(outputDir): \(summary.mergedCount) of \(summary.tensorCount) tensors merged, "
        + "\(megabytes(summary.byteCount)) in \(summary.fileCount) "
        + (summary.fileCount == 1 ? "file" : "files"))
  }
}

/// "12.3 MB".
func megabytes(_ count: Int) -> String { fixed(Double(count) / 1e6, digits: 1) + " MB" }
