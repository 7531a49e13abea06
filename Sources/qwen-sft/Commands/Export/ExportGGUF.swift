// `qwen-sft export gguf`: for llama.cpp and what is built on it.

import ArgumentParser
import Export
import Files
import QwenModel
import SFT
import Tensor
import Tokenizer

extension GGUFFileType: ExpressibleByArgument {}

/// Writes a GGUF file, with an Ollama Modelfile beside it.
struct ExportGGUF: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "gguf",
    abstract: "Writes the merged model, or the adapter alone, as GGUF, with a Modelfile beside it.")

  @OptionGroup var model: ModelOptions
  @OptionGroup var adapter: AdapterOptions
  @OptionGroup var data: DataOptions
  @OptionGroup var common: CommonOptions

  @Option(help: ArgumentHelp("The file to write.", valueName: "file"))
  var outputFile: String

  @Option(
    help: ArgumentHelp(
      "Types of the tensors (default: bf16 for a bfloat16 model, else f16; f32 for an adapter).",
      valueName: "type"))
  var type: GGUFFileType?

  @Flag(help: "Write the adapter alone; the model is only looked at.")
  var adapterOnly = false

  @Option(
    help: ArgumentHelp("Name of the model in the file (default: its folder's).", valueName: "text"))
  var name: String?

  @Option(
    help: ArgumentHelp(
      "Read the file back and compare it with the original on so many rows.", valueName: "rows"))
  var check = 0

  @Option(
    help: ArgumentHelp(
      "Most divergence that --check allows, in nats a token (default: by type).", valueName: "x"))
  var maxKl: Double?

  @Option(
    help: ArgumentHelp(
      "Least share of equal first choices that --check allows (default: by type).", valueName: "x"))
  var minAgreement: Double?

  @Flag(inversion: .prefixedNo, exclusivity: .chooseLast, help: "Write a Modelfile for Ollama.")
  var modelfile = true

  mutating func validate() throws {
    if check < 0 { throw ValidationError("--check: expected 0 or more, found \(check)") }
    if let maxKl, !(maxKl >= 0) {
      throw ValidationError("--max_kl: expected 0 or more, found \(maxKl)")
    }
    if let minAgreement, !(0...1).contains(minAgreement) {
      throw ValidationError("--min_agreement: expected 0 to 1, found \(minAgreement)")
    }
    if adapterOnly, adapter.adapter == nil {
      throw ValidationError("--adapter_only: expected --adapter with it")
    }
    if adapterOnly, type == .q4_k_m {
      throw ValidationError("--type: expected f32, f16, bf16 or q8_0 for an adapter, found q4_k_m")
    }
  }

  mutating func run() throws {
    let device = try common.start()
    let folder = try model.folder()
    let weights = try MergedWeights(
      folder: folder, adapter: adapter.folder(isOffline: model.offline), on: device)
    if weights.isQuantized, !adapterOnly {
      Diagnostics.notice("\(folder) is in NF4: exporting its dequantized weights")
    }
    let rows = try ExportRows.rows(folder: folder, data: data, count: check)
    let type = self.type ?? defaultType(weights)
    let name = self.name ?? ModelName.name(ofFolder: folder, adapter: adapter.adapter)
    let export = GGUFExport(type: type, name: name)
    let instructions = modelfile ? try instructions(folder) : nil
    let place = try CheckedExport(path: outputFile)
    Interrupts.listen()
    weights.isStopRequested = { Interrupts.isStopRequested }
    var summary: GGUFExport.Summary?
    try place.run { path in
      summary =
        adapterOnly
        ? try export.writeAdapter(
          weights, baseName: ModelName.name(ofFolder: folder, adapter: nil), to: path)
        : try export.write(weights, to: path)
    } check: { path in
      guard !rows.isEmpty else { return }
      let comparison = try comparison(path, weights, rows, device)
      Diagnostics.notice(ExportRows.divergenceText(comparison))
      let usual = type.tolerance
      try place.require(
        comparison,
        within: CheckedExport.Tolerance(
          divergence: maxKl ?? usual.divergence, agreement: minAgreement ?? usual.agreement))
    } file: {
      ExportError.file($0)
    }
    if let summary {
      Diagnostics.notice(
        "\(outputFile): \(megabytes(summary.byteCount)), tensors: \(summary.countsText)")
    }
    if let instructions {
      let path = outputFile + ".Modelfile"
      try instructions.write(to: path)
      Diagnostics.notice("\(path): for ollama create NAME -f \(path)")
    }
  }

  private func defaultType(_ weights: MergedWeights) -> GGUFFileType {
    if adapterOnly { return .f32 }
    return weights.isQuantized || weights.isBFloat16 ? .bf16 : .f16
  }

  private func comparison(
    _ path: String, _ weights: MergedWeights, _ rows: [EncodedRow], _ device: Device
  ) throws(ExportError) -> ModelComparison {
    let base = BaseWeights(weights)
    let candidate =
      adapterOnly
      ? StreamedModel(
        base, deltas: try GGUFModel.adapter(path: path, for: weights.config, on: device), on: device
      )
      : StreamedModel(try GGUFModel(path: path, on: device), on: device)
    return try ModelComparison(
      of: candidate, with: StreamedModel(base, deltas: weights.deltas, on: device), on: rows)
  }

  /// The Modelfile, made before anything is written: what is wrong with the model's settings shows then.
  private func instructions(_ folder: String) throws -> Modelfile {
    let tokenizer = try Tokenizer(directory: folder)
    let ids = try Session.stopIDs(folder, config: .init(directory: folder), tokenizer: tokenizer)
    let stops = ids.sorted().map { tokenizer.decode([$0]) }.filter { !$0.isEmpty }
    let file = "./" + FileSystem.name(of: outputFile)
    return Modelfile(
      from: adapterOnly ? FileSystem.canonicalPath(folder) ?? folder : file,
      adapter: adapterOnly ? file : nil, folder: folder, stops: stops)
  }
}
