// `qwen-sft train`: parse, build, run.

import ArgumentParser
import NN
import QwenModel
import Report
import SFT
import Safetensors
import Tensor

/// LoRA (or full) supervised fine-tuning.
struct Train: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Fine-tunes a model on conversations; the loss is on the assistant's tokens alone.")

  @OptionGroup(title: "Model") var model: ModelOptions
  @OptionGroup(title: "Model") var adapter: AdapterOptions
  @OptionGroup(title: "Data") var data: DataOptions
  @OptionGroup(title: "Data") var encoding: EncodingOptions
  @OptionGroup(title: "Adapter") var lora: LoRAOptions
  @OptionGroup(title: "Training") var options: TrainOptions
  @OptionGroup(title: "Training") var precision: PrecisionOptions
  @OptionGroup var common: CommonOptions

  mutating func run() throws {
    let device = try common.start()
    let isDemo = model.model == nil
    let output = try options.outputFolder(isDemo: isDemo)
    var config = try options.config(
      outputDir: output, lora: try lora.config(), maxSeqLength: data.maxSeqLength, on: device)
    try TrainOptions.validate(config)
    try options.validateEvaluation()
    if let source = options.resumeFromCheckpoint, !["true", "false"].contains(source.lowercased()) {
      // Before anything is loaded.
      try CheckpointSeal.requireFolder(source)
    }
    let targets = try ReportTarget.targets(options.reportTo)
    let folder = try model.folder()
    let adapterFolder = try adapter.folder(isOffline: model.offline)
    let paths = try data.paths()
    try options.validateFull(
      hasAdapter: adapterFolder != nil, isQuantized: precision.useQLoRA, lora)
    try lora.validate(isQuantized: precision.useQLoRA)
    try options.validateOutput(output, model: folder)
    if adapterFolder != nil, let name = lora.changedNames.first {
      Diagnostics.notice("--\(name) is not used: the adapter brings its own settings")
    }
    // 1. The data is read and encoded before any weight is.
    let encoder = try encoding.encoder(folder: folder)
    let (rows, evaluationRows, report) = try readData(encoder, paths, config)
    let sampler = try options.samplePrompts.map {
      try Questions.sampler(in: $0, folder: folder, encoder: encoder)
    }
    let isBFloat16 = Session.computesInBFloat16(precision, on: device)
    let watch = try MemoryWatch(
      of: RunOutline(
        modelDirectory: folder,
        weights: try Session.weights(
          precision, for: Session.use(config, on: device), computesInBFloat16: isBFloat16),
        computesInBFloat16: isBFloat16, adapterDirectory: adapterFolder, config: config,
        rows: rows, evaluationRows: evaluationRows, sampler: sampler, on: device), on: device)
    // 2. The model, and what of it is trained.
    let network = try Session.model(
      folder, adapter: nil, precision: precision, for: Session.use(config, on: device), on: device)
    if options.full && network.isQuantized {
      throw CLIError.argument(
        option: "full", problem: "the model is quantized: weights in 4 bits cannot be trained")
    }
    let settings = try prepare(
      network, adapterFolder, baseModel: model.model ?? folder, &config, on: device)
    if let settings, settings.initialization.changesBase {
      Diagnostics.notice(
        "the adapter is written as a plain one of twice the rank: it fits the unchanged base model")
    }
    // 3. The run.
    Interrupts.listen()
    let recipe = resolvedRecipe(config, isBFloat16: network.computeDType == .bfloat16)
    let description = RunDescription(
      baseModel: model.model ?? folder, adapter: settings, isQuantized: network.isQuantized,
      rows: rows, tokenizer: encoder.tokenizer,
      data: RunDescription.data(
        paths: paths, rows: rows, evaluationRows: evaluationRows, report: report),
      environment: RunDescription.environment(device, network),
      recipe: (recipe?.settings ?? []).map { .init($0.key, $0.value) },
      outputDir: output)
    let reporter = TrainingReporter(description, targets: targets, memory: watch)
    let trainer = try Trainer(
      model: network, rows: rows, evaluationRows: evaluationRows, config: config,
      artifacts: RunArtifacts(modelDirectory: folder, adapter: settings), sampler: sampler,
      on: device,
      shouldStop: { Interrupts.isStopRequested }, observe: reporter.observe)
    guard try resume(trainer) else { return }
    try trainer.takeOutputFolder()
    try recipe?.write(to: output)
    try run(trainer, reporter)
  }

  /// The rows to train on and those to evaluate on, encoded, and what reading them found.
  private func readData(_ encoder: ConversationEncoder, _ paths: [String], _ config: TrainingConfig)
    throws
    -> (rows: [EncodedRow], evaluationRows: [EncodedRow], report: ConversationEncoder.Report)
  {
    let (all, report) = try TrainingData.rows(
      encoder, paths: paths, format: data.dataFormat, encoding: encoding, config: config)
    var (rows, evaluationRows) = try ValidationSplit.split(
      all, size: config.valSize, seed: config.seed)
    if !options.evalDataPath.isEmpty {
      evaluationRows = try TrainingData.rows(
        encoder, paths: options.evalDataPath, format: data.dataFormat, encoding: encoding,
        config: config
      ).rows
    }
    return (rows, evaluationRows, report)
  }

  /// Runs to the end; an interrupted run ends with an exit code of its own.
  private func run(_ trainer: Trainer, _ reporter: TrainingReporter) throws {
    do throws(TrainingError) {
      _ = try trainer.run()
    } catch {
      reporter.end(error)
      guard case .interrupted = error else { throw error }
      Diagnostics.notice(error.description)
      throw ExitCode(Interrupts.exitCode)
    }
  }

  /// Every setting of the run.
  private func resolvedRecipe(_ config: TrainingConfig, isBFloat16: Bool) -> ResolvedRecipe? {
    guard let expansion = RecipeExpansion.current else { return nil }
    var resolved = [
      "bf16": String(isBFloat16), "output-dir": config.outputDir,
      "max-seq-length": String(config.maxSeqLength),
      "report-to": ReportTarget.defaults.map(\.rawValue).sorted().joined(separator: ","),
      "gradient-checkpointing": config.gradientCheckpointing.name,
    ]
    if adapter.adapter == nil, let lora = config.lora {
      resolved["lora-dropout"] = "\(lora.dropout)"
    }
    return ResolvedRecipe(expansion, resolved: resolved)
  }

  /// Marks what is trained; the adapter's settings, nil for full training.
  private func prepare(
    _ network: QwenModel, _ adapterFolder: String?, baseModel: String,
    _ config: inout TrainingConfig, on device: Device
  ) throws -> AdapterConfig? {
    guard let fresh = config.lora else {
      network.setTrainable(true)
      return nil
    }
    if let adapterFolder {
      var settings = try AdapterFile.load(
        adapterFolder, into: network, dropout: lora.loraDropout, on: device)
      settings.baseModel = baseModel
      return settings
    }
    let paths = try network.injectLoRA(fresh)
    guard network.lmHead?.adapter == nil else {
      throw CLIError.argument(
        option: "target_modules", problem: "adapters of lm_head cannot be trained")
    }
    try network.initializeAdapters(fresh.initialization, seed: config.seed, on: device)
    return AdapterConfig(fresh, paths: paths, baseModel: baseModel)
  }

  /// Takes up an earlier run where asked to; false when there is nothing left to do.
  private func resume(_ trainer: Trainer) throws -> Bool {
    guard let source = options.resumeFromCheckpoint, source.lowercased() != "false" else {
      return true
    }
    guard source.lowercased() == "true" else {
      try trainer.resume(from: source)
      return true
    }
    switch try trainer.resumeFromNewestCheckpoint() {
    case .finished:
      Diagnostics.notice("the run has finished already; nothing to do")
      return false
    case .resumed(let folder): Diagnostics.notice("continuing from \(folder)")
    case .fromBeginning:
      Diagnostics.notice("no whole checkpoint to continue from; starting from the beginning")
    }
    return true
  }
}
