// trainer_state.json with transformers' keys, and the sums that the next log entry is made of.

import Files
package import OrderedJSON

/// Where a run stands and what it has logged.
package struct TrainerState: Sendable {
  /// Completed steps.
  package private(set) var globalStep = 0
  /// The log, as trainer_state.json has it.
  package private(set) var logHistory: [LogEntry] = []
  private var epoch = 0.0
  private var totalLoss = 0.0
  private var tokensSeen = 0
  private var window = Window()
  /// The lowest evaluation loss so far, and its step.
  package private(set) var best: (loss: Double, step: Int)?
  /// The step of the newest checkpoint that was the best of its time.
  package var bestCheckpointStep: Int?
  /// Evaluations since the lowest loss.
  package private(set) var evaluationsWithoutGain = 0
  /// Steps that had no trained token.
  package private(set) var skippedSteps = 0
  /// The steps that the run had when its checkpoint was written; nil in a run from the beginning.
  package private(set) var savedTotalSteps: Int?
  /// What of the last step was still to do when the run was stopped.
  package var pending: Pending?

  /// What comes after a step's update.
  package enum Pending: String, Sendable { case evaluation, sampling }

  /// Steps between checkpoints, and between evaluations where these go by steps.
  package let saveSteps: Int, evalSteps: Int?
  private let totalSteps, stepsPerEpoch, loggingSteps, batchSize: Int
  private let epochs: Double
  private let outputDir: String
  private let patience: Int?

  /// Sums since the last log entry.
  private struct Window: Sendable {
    var steps = 0, tokens = 0, trained = 0, correct = 0
    var loss = 0.0, seconds = 0.0
  }

  /// The state before the first step.
  package init(config: TrainingConfig, totalSteps: Int, stepsPerEpoch: Int) {
    self.totalSteps = totalSteps
    self.stepsPerEpoch = stepsPerEpoch
    loggingSteps = config.loggingSteps.steps(of: totalSteps)
    saveSteps = config.saveSteps.steps(of: totalSteps)
    batchSize = config.perDeviceTrainBatchSize
    epochs =
      config.maxSteps.map { (Double($0) / Double(max(1, stepsPerEpoch))).rounded(.up) }
      ?? config.numTrainEpochs
    outputDir = config.outputDir
    evalSteps =
      config.evalStrategy == .steps ? config.evaluationInterval.steps(of: totalSteps) : nil
    patience = config.earlyStoppingPatience
  }

  /// Whether evaluations have gone without a lower loss for as long as they may.
  package var isOutOfPatience: Bool { patience.map { evaluationsWithoutGain >= $0 } ?? false }

  /// Adds an evaluation after the last step. As in transformers, patience compares with the best before this one.
  package mutating func add(_ evaluation: Evaluation) -> LogEntry {
    let isBetter = best.map { evaluation.loss < $0.loss } ?? true
    evaluationsWithoutGain = isBetter ? 0 : evaluationsWithoutGain + 1
    if isBetter { best = (evaluation.loss, globalStep) }
    let entry = LogEntry(values: evaluation.values + [("epoch", epoch)], step: globalStep)
    logHistory.append(entry)
    return entry
  }

  /// The folder of a checkpoint of this run.
  package func checkpointPath(step: Int) -> String {
    FileSystem.join(outputDir, RunStore.checkpointPrefix + String(step))
  }

  /// Counts a step; returns a log entry when one is due.
  package mutating func add(_ record: StepRecord) -> LogEntry? {
    globalStep = record.step
    epoch = record.epoch
    totalLoss += record.loss
    tokensSeen += record.tokenCount
    if record.trainedTokenCount == 0 { skippedSteps += 1 }
    window.steps += 1
    window.tokens += record.tokenCount
    window.trained += record.trainedTokenCount
    window.correct += record.correctTokenCount
    window.loss += record.loss
    window.seconds += record.seconds
    guard record.step % loggingSteps == 0 else { return nil }
    let entry = LogEntry(
      values: [
        ("loss", window.loss / Double(window.steps)), ("grad_norm", record.gradientNorm),
        ("learning_rate", record.learningRate), ("num_tokens", Double(tokensSeen)),
        ("mean_token_accuracy", Double(window.correct) / Double(max(window.trained, 1))),
        ("tokens_per_second", Double(window.tokens) / max(window.seconds, 1e-9)),
        ("step_seconds", window.seconds / Double(window.steps)),
        ("peak_memory_bytes", Double(ProcessMemory.peakResidentByteCount)), ("epoch", epoch),
      ], step: record.step)
    window = Window()
    logHistory.append(entry)
    return entry
  }

  /// Adds the closing entry.
  package mutating func finish(seconds: Double, tokens: Int) -> TrainingSummary {
    let summary = TrainingSummary(
      steps: globalStep, trainLoss: totalLoss / Double(max(globalStep, 1)), seconds: seconds,
      tokensPerSecond: Double(tokens) / max(seconds, 1e-9),
      peakMemoryByteCount: ProcessMemory.peakResidentByteCount)
    logHistory.append(
      LogEntry(
        values: [
          ("train_runtime", seconds), ("train_loss", summary.trainLoss),
          ("train_tokens_per_second", summary.tokensPerSecond), ("epoch", epoch),
        ], step: globalStep))
    return summary
  }

  /// The JSON that transformers writes to trainer_state.json.
  package var json: JSON {
    let bestCheckpoint = bestCheckpointStep.map { checkpointPath(step: $0) }
    return .object(
      JSONObject([
        ("best_global_step", Self.integer(best?.step)), ("best_metric", Self.number(best?.loss)),
        ("best_model_checkpoint", Self.string(bestCheckpoint)),
        ("epoch", .number(epoch)), ("eval_steps", Self.integer(evalSteps)),
        ("global_step", .integer(globalStep)),
        ("is_hyper_param_search", .bool(false)), ("is_local_process_zero", .bool(true)),
        ("is_world_process_zero", .bool(true)), ("log_history", .array(logHistory.map(\.json))),
        ("logging_steps", .integer(loggingSteps)), ("max_steps", .integer(totalSteps)),
        ("num_input_tokens_seen", .integer(tokensSeen)),
        ("num_train_epochs", .integer(Int(epochs.rounded(.up)))),
        ("save_steps", .integer(saveSteps)), ("stateful_callbacks", callbacks),
        ("total_flos", .number(0)), ("train_batch_size", .integer(batchSize)),
        ("trial_name", .null), ("trial_params", .null),
      ]))
  }

  private static func integer(_ value: Int?) -> JSON { value.map { .integer($0) } ?? .null }
  private static func number(_ value: Double?) -> JSON { value.map { .number($0) } ?? .null }
  private static func string(_ value: String?) -> JSON { value.map { .string($0) } ?? .null }

  /// The state of early stopping, as transformers keeps it.
  private var callbacks: JSON {
    guard let patience else { return [:] }
    return [
      "EarlyStoppingCallback": [
        "args": [
          "early_stopping_patience": .integer(patience), "early_stopping_threshold": 0.0,
        ],
        "attributes": ["early_stopping_patience_counter": .integer(evaluationsWithoutGain)],
      ]
    ]
  }

  /// What a checkpoint needs beyond `json`: the sums of the log window.
  package var progress: JSON {
    .object(
      JSONObject([
        ("global_step", .integer(globalStep)), ("total_steps", .integer(totalSteps)),
        ("steps_per_epoch", .integer(stepsPerEpoch)), ("epoch", .number(epoch)),
        ("total_loss", .number(totalLoss)), ("tokens_seen", .integer(tokensSeen)),
        ("window_steps", .integer(window.steps)), ("window_tokens", .integer(window.tokens)),
        ("window_trained", .integer(window.trained)), ("window_correct", .integer(window.correct)),
        ("window_loss", .number(window.loss)), ("window_seconds", .number(window.seconds)),
        ("skipped_steps", .integer(skippedSteps)),
        ("evaluations_without_gain", .integer(evaluationsWithoutGain)),
        ("best_loss", Self.number(best?.loss)), ("best_step", Self.integer(best?.step)),
        ("best_checkpoint_step", Self.integer(bestCheckpointStep)),
        ("pending", Self.string(pending?.rawValue)),
      ]))
  }

  /// Takes up a saved state of the same run; a description of the difference when it is of another one.
  package mutating func restore(progress: JSON, state: JSON) -> String? {
    func integer(_ key: String) -> Int { progress[key]?.integerValue ?? -1 }
    func number(_ key: String) -> Double { progress[key]?.doubleValue ?? .nan }
    let counts = [
      "tokens_seen", "window_steps", "window_tokens", "window_trained", "window_correct",
      "skipped_steps", "evaluations_without_gain",
    ]
    let sums = ["epoch", "total_loss", "window_loss", "window_seconds"]
    guard counts.allSatisfy({ (0...(1 << 53)).contains(integer($0)) }),
      sums.allSatisfy({ number($0).isFinite }),
      let history = state["log_history"]?.arrayValue
    else { return "it is damaged" }
    let step = integer("global_step")
    guard (0...max(0, integer("total_steps"))).contains(step) else {
      return "it is damaged: global_step is \(step) of \(integer("total_steps"))"
    }
    func optionalStep(_ key: String) -> Int? {
      progress[key]?.integerValue.flatMap { (1...max(1, step)).contains($0) ? $0 : nil }
    }
    best = optionalStep("best_step").flatMap { step in
      number("best_loss").isFinite ? (number("best_loss"), step) : nil
    }
    bestCheckpointStep = optionalStep("best_checkpoint_step")
    evaluationsWithoutGain = integer("evaluations_without_gain")
    skippedSteps = integer("skipped_steps")
    savedTotalSteps = integer("total_steps")
    pending = progress["pending"]?.stringValue.flatMap { Pending(rawValue: $0) }
    globalStep = step
    epoch = number("epoch")
    totalLoss = number("total_loss")
    tokensSeen = integer("tokens_seen")
    window = Window(
      steps: integer("window_steps"), tokens: integer("window_tokens"),
      trained: integer("window_trained"), correct: integer("window_correct"),
      loss: number("window_loss"), seconds: number("window_seconds"))
    logHistory = history.compactMap { LogEntry(json: $0) }
    return nil
  }
}

extension LogEntry {
  private static let integers: Set<String> = [
    "num_tokens", "peak_memory_bytes", "eval_trained_tokens",
  ]

  /// The entry as trainer_state.json and metrics.jsonl have it.
  package var json: JSON {
    var object = JSONObject()
    for (key, value) in values {
      let integer = LogEntry.integers.contains(key) ? Int(exactly: value) : nil
      object[key] = integer.map { .integer($0) } ?? .number(value)
    }
    object["step"] = .integer(step)
    return .object(object)
  }

  init?(json: JSON) {
    guard case .object(let object) = json, let step = object["step"]?.integerValue else {
      return nil
    }
    self.step = step
    values = object.compactMap { key, value in
      key == "step" ? nil : value.doubleValue.map { (key, $0) }
    }
  }
}
