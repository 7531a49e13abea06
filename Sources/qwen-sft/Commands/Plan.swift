// `qwen-sft plan`: what a run will take, before any weight is loaded.

import ArgumentParser
import OrderedJSON
import SFT
import Tensor

/// Memory, tokens, steps and time of a training run.
struct Plan: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Says what a training run will take: memory by part, tokens, steps and time.",
    discussion: """
      Takes the options of train and reads the data and the headers of the model's files. The time comes from a block of \
      the model's shape that is run for some seconds.
      """)

  @OptionGroup(title: "Model") var model: ModelOptions
  @OptionGroup(title: "Model") var adapter: AdapterOptions
  @OptionGroup(title: "Data") var data: DataOptions
  @OptionGroup(title: "Data") var encoding: EncodingOptions
  @OptionGroup(title: "Adapter") var lora: LoRAOptions
  @OptionGroup(title: "Training") var options: TrainOptions
  @OptionGroup(title: "Training") var precision: PrecisionOptions
  @OptionGroup var common: CommonOptions

  @Option(
    help: ArgumentHelp(
      "Propose settings that take no more memory than this, such as 8GB.", valueName: "size"))
  var fit: MemorySize?

  @Flag(inversion: .prefixedNo, help: "Measure how long a step takes.")
  var probe = true

  @Flag(help: "Print one JSON value.")
  var json = false

  mutating func run() throws {
    let device = try common.start()
    let config = try options.config(
      outputDir: options.outputDir ?? "out", lora: try lora.config(),
      maxSeqLength: data.maxSeqLength, on: device)
    try TrainOptions.validate(config)
    try options.validateEvaluation()
    let adapterFolder = try adapter.folder(isOffline: model.offline)
    try options.validateFull(
      hasAdapter: adapterFolder != nil, isQuantized: precision.useQLoRA, lora)
    try lora.validate(isQuantized: precision.useQLoRA)
    try CheckpointingMode.validatePlan(options.gradientCheckpointing, on: device)
    let input = PlannedRun.Input(
      folder: try model.folder(), adapterFolder: adapterFolder, paths: try data.paths(),
      evaluationPaths: options.evalDataPath, samplePrompts: options.samplePrompts,
      format: data.dataFormat, encoding: encoding,
      precision: precision, device: device)
    let rows = try PlannedRun.Rows(input, config: config)
    let programByteCount = ProcessMemory.residentByteCount
    let planned = try PlannedRun(
      input, rows: rows, config: config, programByteCount: programByteCount)
    let time = try probe ? TimeProbe(planned.outline, planned.memory, on: device).estimate() : nil
    let report = PlanReport(planned, time: time)
    let proposals = try fit.map { size in
      try FitSearch(
        input: input, rows: rows, config: config, limit: size.byteCount,
        programByteCount: programByteCount, device: device, probes: probe
      ).proposals()
    }
    if json {
      try StandardOutput.write(line: report.json(proposals: proposals).serialized())
    } else {
      try StandardOutput.write(report.table)
      if let fit, let proposals {
        try StandardOutput.write(PlanReport.table(of: proposals, limit: fit.byteCount))
      }
    }
    if let fit, proposals?.isEmpty == true {
      throw CLIError.argument(
        option: "fit",
        problem: "no settings were found that take \(memoryText(fit.byteCount)) or less")
    }
  }
}
