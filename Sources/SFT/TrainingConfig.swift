// Every setting of a training run, with its default, in one value.

public import NN

/// The settings of a run. Names are those of the command line, which are transformers'.
public struct TrainingConfig: Sendable, Hashable {
  /// When to write a checkpoint.
  public enum SaveStrategy: String, Sendable, Hashable, CaseIterable { case no, steps, epoch }

  /// When to evaluate on held-out rows.
  public enum EvaluationStrategy: String, Sendable, Hashable, CaseIterable { case no, steps, epoch }

  /// Where the adapter, checkpoints and logs go.
  public var outputDir: String
  /// Passes over the data; a fraction ends within an epoch.
  public var numTrainEpochs: Double = 1
  /// Optimizer steps; wins over `numTrainEpochs`.
  public var maxSteps: Int?
  /// Rows of a micro-batch.
  public var perDeviceTrainBatchSize = 1
  /// Micro-batches of an optimizer step.
  public var gradientAccumulationSteps = 8
  /// Peak learning rate.
  public var learningRate = 2e-4
  /// Shape of the learning rate over the run.
  public var lrSchedulerType = LearningRateSchedule.Kind.linear
  /// Further coefficients of the schedule.
  public var lrSchedulerKwargs = LearningRateSchedule.Coefficients()
  /// Steps of warm-up; wins over `warmupRatio` when above 0.
  public var warmupSteps = 0
  /// Warm-up as a share of all steps.
  public var warmupRatio = 0.0
  /// Decoupled weight decay. Applies to adapters, and to weights that are not norms or biases.
  public var weightDecay = 0.0
  /// What updates the parameters.
  public var optim = OptimizerKind.adamw
  /// AdamW's β₁: the share of the old mean gradient.
  public var adamBeta1 = 0.9
  /// AdamW's β₂: the share of the old mean square.
  public var adamBeta2 = 0.999
  /// AdamW's ε, added to the root of the mean square.
  public var adamEpsilon = 1e-8
  /// LoRA+: the learning rate of B over that of A; nil for one rate.
  public var loraplusLrRatio: Double?
  /// NEFTune: noise of at most this over √(tokens · channels) is added to the embeddings in training; nil for none.
  public var neftuneNoiseAlpha: Double?
  /// Largest norm of the gradient of a step; 0 or less switches clipping off.
  public var maxGradNorm = 1.0
  /// Tokens of a row.
  public var maxSeqLength = 2048
  /// What happens to longer rows.
  public var truncation = Truncation.keepStart
  /// What blocks keep for backward.
  public var gradientCheckpointing = GradientCheckpointing.off
  /// The adapter; nil trains all parameters.
  public var lora: LoRAConfig? = LoRAConfig()
  /// Visit rows in a new random order each epoch; else in file order.
  public var shuffle = true
  /// Seeds the adapter, the order and dropout.
  public var seed: UInt64 = 42
  /// Steps between entries of the log, or a share of all steps.
  public var loggingSteps: StepInterval = 10
  /// When to write checkpoints; the last step always has one unless `no`.
  public var saveStrategy = SaveStrategy.steps
  /// Steps between checkpoints, or a share of all steps.
  public var saveSteps: StepInterval = 500
  /// Checkpoints that are kept; nil keeps all.
  public var saveTotalLimit: Int?
  /// Put rows together, up to `maxSeqLength` tokens; each still sees itself alone.
  public var packing = false
  /// With `packing`, on devices that can: fill micro-batches up to a constant number of tokens, and queue what was recorded of
  /// one for the others. The results are the same up to rounding.
  public var recordsSteps = true
  /// Rows that are held out for evaluation: a share of all below 1, else their number.
  public var valSize = 0.0
  /// When to evaluate; with `steps` at the end too.
  public var evalStrategy = EvaluationStrategy.no
  /// Steps between evaluations, or a share of all steps; nil takes `loggingSteps`.
  public var evalSteps: StepInterval?
  /// Whether the result is the checkpoint with the lowest evaluation loss.
  public var loadBestModelAtEnd = false
  /// Evaluations in a row without a lower loss after which the run ends; nil never ends it early.
  public var earlyStoppingPatience: Int?
  /// Steps between sampled answers; nil takes them at the start and at the end alone.
  public var sampleEvery: Int?

  /// When to evaluate with `steps`.
  package var evaluationInterval: StepInterval { evalSteps ?? loggingSteps }

  /// The defaults: the one place where they stand.
  public static let defaults = TrainingConfig(outputDir: "")

  /// Tokens that the longest row may have: two, the least that a model learns from, or more.
  public static let maxSeqLengths = 2...(1 << 24)

  /// The defaults, with a folder for the results.
  public init(outputDir: String) { self.outputDir = outputDir }

  /// Throws when a setting is out of range.
  public func validate() throws(TrainingError) {
    func require(_ condition: Bool, _ setting: String, _ value: String, _ expected: String)
      throws(TrainingError)
    {
      if !condition { throw .invalidSetting(name: setting, value: value, expected: expected) }
    }
    try require(
      numTrainEpochs > 0 && numTrainEpochs <= 1e6, "num_train_epochs", "\(numTrainEpochs)",
      "a number above 0, and at most a million")
    try require(
      (1...(1 << 40)).contains(maxSteps ?? 1), "max_steps", "\(maxSteps ?? 0)",
      (maxSteps ?? 1) > 0 ? "2^40 or less" : "1 or more")
    try require(
      (1...65_536).contains(perDeviceTrainBatchSize), "per_device_train_batch_size",
      "\(perDeviceTrainBatchSize)", "1 to 65536")
    try require(
      (1...1_048_576).contains(gradientAccumulationSteps), "gradient_accumulation_steps",
      "\(gradientAccumulationSteps)", "1 to 1048576")
    try require(
      learningRate.isFinite && learningRate >= 0, "learning_rate", "\(learningRate)", "0 or more")
    try require(
      (0...(1 << 53)).contains(warmupSteps), "warmup_steps", "\(warmupSteps)", "0 or more")
    try require((0...1).contains(warmupRatio), "warmup_ratio", "\(warmupRatio)", "0 to 1")
    try require(
      weightDecay.isFinite && weightDecay >= 0, "weight_decay", "\(weightDecay)", "0 or more")
    try require((0..<1).contains(adamBeta1), "adam_beta1", "\(adamBeta1)", "0 to below 1")
    try require((0..<1).contains(adamBeta2), "adam_beta2", "\(adamBeta2)", "0 to below 1")
    // With ε = 0 a tensor whose gradient is 0, as A's is while B is 0, would become 0 / 0.
    try require(
      adamEpsilon.isFinite && adamEpsilon >= Double(Float.leastNormalMagnitude), "adam_epsilon",
      "\(adamEpsilon)", "a number above 0 (1.2e-38 or more)")
    try require(
      (loraplusLrRatio ?? 1).isFinite && loraplusLrRatio ?? 1 > 0, "loraplus_lr_ratio",
      "\(loraplusLrRatio ?? 0)", "a number above 0")
    try require(
      loraplusLrRatio == nil || lora != nil, "loraplus_lr_ratio", "\(loraplusLrRatio ?? 0)",
      "none where all parameters are trained: it is about the factors of an adapter")
    try require(
      (neftuneNoiseAlpha ?? 0).isFinite && neftuneNoiseAlpha ?? 0 >= 0, "neftune_noise_alpha",
      "\(neftuneNoiseAlpha ?? 0)", "0 or more")
    try require(!maxGradNorm.isNaN, "max_grad_norm", "\(maxGradNorm)", "a number")
    let lengths = Self.maxSeqLengths
    try require(
      lengths.contains(maxSeqLength), "max_seq_length", "\(maxSeqLength)",
      "\(lengths.lowerBound) to \(lengths.upperBound)")
    try require(loggingSteps.isValid, "logging_steps", "\(loggingSteps)", Self.interval)
    try require(saveSteps.isValid, "save_steps", "\(saveSteps)", Self.interval)
    try require(saveTotalLimit ?? 1 > 0, "save_total_limit", "\(saveTotalLimit ?? 0)", "1 or more")
    if case .auto(let budget) = gradientCheckpointing {
      try require(budget > 0, "memory_budget", "\(budget)", "more than 0")
    }
    try validateEvaluation(require)
    try lrSchedulerKwargs.validate(for: lrSchedulerType)
    // Schedules that end at a rate of their own are shares of the peak, which then must be above it.
    let lowest: Double? =
      switch lrSchedulerType {
      case .polynomial: lrSchedulerKwargs.lrEnd ?? 1e-7
      case .cosineWithMinLR: lrSchedulerKwargs.minLR.map { _ in 0 }
      default: nil
      }
    if let lowest {
      try require(
        learningRate > lowest, "learning_rate", "\(learningRate)",
        "more than \(lowest), as \(lrSchedulerType.rawValue) needs it")
    }
  }

  private static let interval = "1 or more, or a share of all steps below 1"

  private func validateEvaluation(
    _ require: (Bool, String, String, String) throws(TrainingError) -> Void
  ) throws(TrainingError) {
    try require((evalSteps ?? 1).isValid, "eval_steps", "\(evalSteps ?? 0)", Self.interval)
    try require(sampleEvery ?? 1 > 0, "sample_every", "\(sampleEvery ?? 0)", "1 or more")
    try require(
      earlyStoppingPatience ?? 1 > 0, "early_stopping_patience", "\(earlyStoppingPatience ?? 0)",
      "1 or more")
    try require(
      (0..<1).contains(valSize)
        || (valSize <= 0x1p53 && valSize == valSize.rounded() && valSize > 0),
      "val_size", "\(valSize)", "a share below 1 or a whole number of rows")
    if earlyStoppingPatience != nil {
      try require(
        evalStrategy != .no, "eval_strategy", "no",
        "steps or epoch, as early_stopping_patience needs it")
    }
    guard loadBestModelAtEnd else { return }
    try require(
      evalStrategy != .no, "eval_strategy", "no",
      "steps or epoch, as load_best_model_at_end needs it")
    try require(
      evalStrategy.rawValue == saveStrategy.rawValue, "save_strategy", saveStrategy.rawValue,
      "\(evalStrategy.rawValue), the same as eval_strategy, as load_best_model_at_end needs it")
    try require(
      evalStrategy == .epoch || saveSteps.isMultiple(of: evaluationInterval), "save_steps",
      "\(saveSteps)",
      "a multiple of eval_steps (\(evaluationInterval)), as load_best_model_at_end needs it")
  }
}
