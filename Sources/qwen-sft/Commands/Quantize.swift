// `qwen-sft quantize`: a checkpoint in 4 bits that transformers and bitsandbytes load.

import ArgumentParser
import Export
import Files
import QwenModel
import Tensor

/// Writes a model in NF4.
struct Quantize: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Writes a bitsandbytes-compatible checkpoint in NF4.")

  @OptionGroup var model: ModelOptions
  @OptionGroup var common: CommonOptions

  @Option(help: ArgumentHelp("Folder for the quantized model.", valueName: "dir"))
  var outputDir: String

  @Flag(
    inversion: .prefixedNo, exclusivity: .chooseLast, help: "Quantize the scales of blocks too.")
  var doubleQuant = true

  @Option(help: ArgumentHelp("Elements that share a scale: 32, 64, … 4096.", valueName: "n"))
  var blockSize = 64

  @Flag(
    inversion: .prefixedNo, exclusivity: .chooseLast,
    help: "Name bfloat16 as the type to compute in (default: float32).")
  var bf16 = false

  @Flag(help: "Replace a folder that is there.")
  var overwriteOutputDir = false

  mutating func validate() throws {
    guard QuantizedTensor.Format.blockSizes.contains(blockSize) else {
      throw ValidationError(
        "--block_size: expected a power of two from 32 to 4096, found \(blockSize)")
    }
  }

  mutating func run() throws {
    let device = try common.start()
    var export = NF4Export()
    export.format = QuantizedTensor.Format(
      blockSize: blockSize, isDoubleQuantized: doubleQuant)
    export.computeDTypeName = bf16 ? "bfloat16" : "float32"
    let folder = try model.folder()
    let place = try OutputFolder(outputDir, isReplacing: overwriteOutputDir, apartFrom: [folder])
    Interrupts.listen()
    export.isStopRequested = { Interrupts.isStopRequested }
    let publication = try place.publication()
    let summary = try export.write(
      folder, to: publication.temporaryPath,
      companions: CheckpointMerge.companions, on: device)
    try publication.publish(replacing: place.replaces)
    Diagnostics.notice(
      "\(outputDir): \(summary.quantizedCount) linear maps quantized, "
        + "\(megabytes(summary.sourceByteCount)) → \(megabytes(summary.byteCount))")
  }
}
