// The settings of a run as options, with transformers' and PEFT's names, and how they become a TrainingConfig.

public import ArgumentParser
import Files
import NN
import OrderedJSON
public import SFT
import Tensor

/// How often, how fast, how long.
struct TrainOptions: ParsableArguments {
  @Option(help: ArgumentHelp("Folder for the adapter, checkpoints and logs.", valueName: "dir"))
  var outputDir: String?

  @Option(help: ArgumentHelp("Passes over the data.", valueName: "n"))
  var numTrainEpochs = TrainingConfig.defaults.numTrainEpochs

  @Option(help: ArgumentHelp("Optimizer steps; wins over the epochs.", valueName: "n"))
  var maxSteps: Int?

  @Option(help: ArgumentHelp("Rows of a micro-batch.", valueName: "n"))
  var perDeviceTrainBatchSize = TrainingConfig.defaults.perDeviceTrainBatchSize

  @Option(help: ArgumentHelp("Micro-batches of an optimizer step.", valueName: "n"))
  var gradientAccumulationSteps = TrainingConfig.defaults.gradientAccumulationSteps

  @Option(help: ArgumentHelp("Peak learning rate.", valueName: "rate"))
  var learningRate = TrainingConfig.defaults.learningRate

  @Option(help: ArgumentHelp("Shape of the learning rate.", valueName: "name"))
  var lrSchedulerType = TrainingConfig.defaults.lrSchedulerType

  @Option(
    help: ArgumentHelp("Coefficients of the schedule, as a JSON object.", valueName: "json"))
  var lrSchedulerKwargs: String?

  @Option(help: ArgumentHelp("Steps of warm-up, or a share of all steps below 1.", valueName: "n"))
  var warmupSteps = WarmupLength.steps(TrainingConfig.defaults.warmupSteps)

  @Option(help: ArgumentHelp("Warm-up as a share of all steps.", valueName: "share"))
  var warmupRatio = TrainingConfig.defaults.warmupRatio

  @Option(help: ArgumentHelp("Decoupled weight decay.", valueName: "rate"))
  var weightDecay = TrainingConfig.defaults.weightDecay

  @Option(help: "What updates the parameters: adamw, or adamw_8bit with moments in 8 bits.")
  var optim = TrainingConfig.defaults.optim

  @Option(help: ArgumentHelp("AdamW's β₁.", valueName: "beta"))
  var adamBeta1 = TrainingConfig.defaults.adamBeta1

  @Option(help: ArgumentHelp("AdamW's β₂.", valueName: "beta"))
  var adamBeta2 = TrainingConfig.defaults.adamBeta2

  @Option(help: ArgumentHelp("AdamW's ε.", valueName: "epsilon"))
  var adamEpsilon = TrainingConfig.defaults.adamEpsilon

  @Option(
    help: ArgumentHelp("LoRA+: learning rate of B over that of A.", valueName: "ratio"))
  var loraplusLrRatio: Double?

  @Option(help: ArgumentHelp("NEFTune: noise on the embeddings in training.", valueName: "alpha"))
  var neftuneNoiseAlpha: Double?

  @Option(help: ArgumentHelp("Largest gradient norm; 0 switches clipping off.", valueName: "norm"))
  var maxGradNorm = TrainingConfig.defaults.maxGradNorm

  @Option(help: "What happens to rows that are too long: keep_start, keep_end, drop or error.")
  var truncation = TrainingConfig.defaults.truncation

  @Option(
    defaultAsFlag: .full,
    help:
      "Recompute blocks in backward instead of keeping them: full (or true), off (or false), auto: as many as --memory_budget asks for."
  )
  var gradientCheckpointing: CheckpointingMode?

  @Option(
    help: ArgumentHelp(
      "Memory of the whole program, or of a GPU, with --gradient_checkpointing auto, such as 4GB (default: what is free).",
      valueName: "size"))
  var memoryBudget: MemorySize?

  @Flag(inversion: .prefixedNo, exclusivity: .chooseLast, help: "Visit rows in a random order.")
  var shuffle = TrainingConfig.defaults.shuffle

  @Option(help: ArgumentHelp("Seed of the adapter, the order and dropout.", valueName: "n"))
  var seed = TrainingConfig.defaults.seed

  @Option(
    help: ArgumentHelp("Steps between log entries, or a share of all steps.", valueName: "n"))
  var loggingSteps = TrainingConfig.defaults.loggingSteps

  @Option(help: "When to write checkpoints: no, steps or epoch.")
  var saveStrategy = TrainingConfig.defaults.saveStrategy

  @Option(
    help: ArgumentHelp("Steps between checkpoints, or a share of all steps.", valueName: "n"))
  var saveSteps = TrainingConfig.defaults.saveSteps

  @Option(help: ArgumentHelp("Checkpoints to keep (default: all).", valueName: "n"))
  var saveTotalLimit: Int?

  @Flag(
    inversion: .prefixedNo, exclusivity: .chooseLast,
    help: "Put rows together up to --max_seq_length tokens; each still sees itself alone.")
  var packing = TrainingConfig.defaults.packing

  @Flag(
    inversion: .prefixedNo, exclusivity: .chooseLast,
    help:
      "With --packing on a GPU, fill micro-batches to a constant size and queue the work of one for the others."
  )
  var recordSteps = TrainingConfig.defaults.recordsSteps

  @Option(
    help: ArgumentHelp(
      "Rows to evaluate on, JSONL or JSON; several may follow.", valueName: "file"))
  var evalDataPath: [String] = []

  @Option(
    help: ArgumentHelp(
      "Rows to hold out for evaluation: a share below 1, or their number.", valueName: "size"))
  var valSize = TrainingConfig.defaults.valSize

  @Option(help: "When to evaluate: no, steps (and at the end) or epoch.")
  var evalStrategy = TrainingConfig.defaults.evalStrategy

  @Option(
    help: ArgumentHelp(
      "Steps between evaluations, or a share of all steps (default: --logging_steps).",
      valueName: "n"))
  var evalSteps: StepInterval?

  @Flag(
    inversion: .prefixedNo, exclusivity: .chooseLast,
    help: "Make the checkpoint with the lowest evaluation loss the result.")
  var loadBestModelAtEnd = TrainingConfig.defaults.loadBestModelAtEnd

  @Option(
    help: ArgumentHelp(
      "End after so many evaluations without a lower loss (default: never).", valueName: "n"))
  var earlyStoppingPatience: Int?

  @Option(
    help: ArgumentHelp(
      "JSONL of conversations (or .txt, a prompt a line) that are answered into samples.jsonl.",
      valueName: "file"))
  var samplePrompts: String?

  @Option(
    help: ArgumentHelp(
      "Steps between sampled answers (default: at the start and the end).", valueName: "n"))
  var sampleEvery: Int?

  @Option(
    parsing: .upToNextOption,
    help: ArgumentHelp(
      "Where the run is reported to: jsonl, html and tensorboard, or all, or none (default: jsonl, html).",
      valueName: "names"))
  var reportTo: [String] = []

  @Option(
    defaultAsFlag: "true",
    help: ArgumentHelp("A checkpoint folder, or true for the newest.", valueName: "dir"))
  var resumeFromCheckpoint: String?

  @Flag(help: "Train all parameters instead of an adapter.")
  var full = false

  /// The folder for results: `out` where the demo is trained.
  func outputFolder(isDemo: Bool) throws -> String {
    if let outputDir { return outputDir }
    guard isDemo else {
      throw ValidationError("--output_dir is required: where should the adapter go?")
    }
    return "out"
  }

  /// A setting out of range by the name of its option.
  private static func wrongUsage(_ error: TrainingError) -> any Error {
    guard case .invalidSetting(let name, let value, let expected) = error else { return error }
    return ValidationError("--\(name): expected \(expected), found \(value)")
  }

  /// Settings out of range are wrong usage.
  static func validate(_ config: TrainingConfig) throws {
    do {
      try config.validate()
      try config.lora?.validate()
    } catch TrainingError.invalidSetting(let name, let value, let expected) {
      throw ValidationError("--\(name): expected \(expected), found \(value)")
    } catch LoRAError.invalid(let name, let value, let expected) {
      throw ValidationError("--\(name): expected \(expected), found \(value)")
    }
  }

  /// `--full` excludes what freezes the model.
  func validateFull(hasAdapter: Bool, isQuantized: Bool, _ lora: LoRAOptions) throws {
    if full && hasAdapter {
      throw ValidationError("--full trains all parameters and takes no --adapter")
    }
    if full && isQuantized {
      throw ValidationError("--full trains all parameters, --use_qlora freezes them: give one")
    }
    if full, let name = lora.changedNames.first {
      throw ValidationError(
        "--full trains all parameters, --\(name) describes an adapter: give one")
    }
  }

  /// A run writes a tokenizer, and in full training weights, over what is in its folder: that may be no model of somebody else's.
  func validateOutput(_ output: String, model: String) throws {
    guard let folder = FileSystem.canonicalPath(output) else { return }
    if folder == FileSystem.canonicalPath(model) {
      throw ValidationError("--output_dir: \(output) is the model itself (choose another folder)")
    }
    func has(_ name: String) -> Bool { FileSystem.kind(of: FileSystem.join(folder, name)) == .file }
    if has("config.json"), !has("run_state.json"),
      has("model.safetensors") || has("model.safetensors.index.json")
    {
      throw ValidationError(
        "--output_dir: \(output) holds a model that no run has written (choose another folder)")
    }
  }

  /// Combinations that make no sense are wrong usage.
  func validateEvaluation() throws {
    let hasRows = !evalDataPath.isEmpty || valSize > 0
    if !evalDataPath.isEmpty && valSize > 0 {
      throw ValidationError(
        "--val_size: expected 0, as --eval_data_path gives the rows to evaluate, found \(valSize)")
    }
    if evalStrategy != .no && !hasRows {
      throw ValidationError(
        "--eval_strategy: expected --eval_data_path or --val_size with it, found neither")
    }
    if evalStrategy == .no && hasRows {
      Diagnostics.notice(
        "--eval_strategy is no: nothing will be evaluated (give steps or epoch)")
    }
    if sampleEvery != nil && samplePrompts == nil {
      throw ValidationError("--sample_every: expected --sample_prompts with it, found none")
    }
  }

  /// The settings of the run.
  func config(outputDir: String, lora: LoRAConfig, maxSeqLength: Int?, on device: Device)
    throws -> TrainingConfig
  {
    var config = TrainingConfig(outputDir: outputDir)
    config.numTrainEpochs = numTrainEpochs
    // -1 is transformers' way to say that there is none.
    config.maxSteps = maxSteps == -1 ? nil : maxSteps
    config.perDeviceTrainBatchSize = perDeviceTrainBatchSize
    config.gradientAccumulationSteps = gradientAccumulationSteps
    config.learningRate = learningRate
    config.lrSchedulerType = lrSchedulerType
    if let lrSchedulerKwargs {
      guard case .object(let object) = try? JSON.parse(lrSchedulerKwargs) else {
        throw ValidationError("--lr_scheduler_kwargs: expected a JSON object")
      }
      do throws(TrainingError) {
        config.lrSchedulerKwargs = try .init(json: object, for: lrSchedulerType)
      } catch { throw Self.wrongUsage(error) }
    }
    (config.warmupSteps, config.warmupRatio) = try warmupSteps.settings(besides: warmupRatio)
    config.weightDecay = weightDecay
    config.optim = optim
    config.adamBeta1 = adamBeta1
    config.adamBeta2 = adamBeta2
    config.adamEpsilon = adamEpsilon
    config.loraplusLrRatio = loraplusLrRatio
    config.neftuneNoiseAlpha = neftuneNoiseAlpha
    config.maxGradNorm = maxGradNorm
    config.maxSeqLength = maxSeqLength ?? config.maxSeqLength
    config.truncation = truncation
    config.gradientCheckpointing =
      try CheckpointingMode.resolved(gradientCheckpointing, budget: memoryBudget, on: device)
    config.lora = full ? nil : lora
    config.shuffle = shuffle
    config.seed = seed
    config.loggingSteps = loggingSteps
    config.saveStrategy = saveStrategy
    config.saveSteps = saveSteps
    config.saveTotalLimit = saveTotalLimit
    config.packing = packing
    config.recordsSteps = recordSteps
    config.valSize = valSize
    config.evalStrategy = evalStrategy
    config.evalSteps = evalSteps
    config.loadBestModelAtEnd = loadBestModelAtEnd
    config.earlyStoppingPatience = earlyStoppingPatience
    config.sampleEvery = sampleEvery
    return config
  }
}

extension LearningRateSchedule.Kind: ExpressibleByArgument {}
extension OptimizerKind: ExpressibleByArgument {
  /// transformers' other names of the same are taken too.
  public init?(argument: String) { self.init(name: argument.lowercased()) }
}
extension TrainingConfig.SaveStrategy: ExpressibleByArgument {}
extension TrainingConfig.EvaluationStrategy: ExpressibleByArgument {}
extension Truncation: ExpressibleByArgument {}

extension StepInterval: ExpressibleByArgument {
  /// Numbers out of range are kept: the settings' own check names the option.
  public init?(argument: String) {
    if let count = Int(argument) {
      self = .steps(count)
    } else if let value = Double(argument) {
      self = StepInterval(value) ?? .share(value)
    } else {
      return nil
    }
  }
}
