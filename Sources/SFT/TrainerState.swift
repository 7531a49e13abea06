// trainer_state.json with transformers' keys, and the sums that the next log entry is made of.

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

  private let totalSteps, stepsPerEpoch, loggingSteps, saveSteps, batchSize: Int
  private let epochs: Double

  /// Sums since the last log entry.
  private struct Window: Sendable {
    var steps = 0, tokens = 0, trained = 0, correct = 0
    var loss = 0.0, seconds = 0.0
  }

  /// The state before the first step.
  package init(config: TrainingConfig, totalSteps: Int, stepsPerEpoch: Int) {
    self.totalSteps = totalSteps
    self.stepsPerEpoch = stepsPerEpoch
    loggingSteps = config.loggingSteps
    saveSteps = config.saveSteps
    batchSize = config.perDeviceTrainBatchSize
    epochs = config.numTrainEpochs
  }

  /// Counts a step; returns a log entry when one is due.
  package mutating func add(_ record: StepRecord, loggingSteps: Int) -> LogEntry? {
    globalStep = record.step
    epoch = record.epoch
    totalLoss += record.loss
    tokensSeen += record.tokenCount
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
    .object(
      JSONObject([
        ("best_global_step", .null), ("best_metric", .null), ("best_model_checkpoint", .null),
        ("epoch", .number(epoch)), ("eval_steps", .null), ("global_step", .integer(globalStep)),
        ("is_hyper_param_search", .bool(false)), ("is_local_process_zero", .bool(true)),
        ("is_world_process_zero", .bool(true)), ("log_history", .array(logHistory.map(\.json))),
        ("logging_steps", .integer(loggingSteps)), ("max_steps", .integer(totalSteps)),
        ("num_input_tokens_seen", .integer(tokensSeen)),
        ("num_train_epochs", .integer(Int(epochs.rounded(.up)))),
        ("save_steps", .integer(saveSteps)), ("stateful_callbacks", .object(JSONObject())),
        ("total_flos", .number(0)), ("train_batch_size", .integer(batchSize)),
        ("trial_name", .null), ("trial_params", .null),
      ]))
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
      ]))
  }

  /// Takes up a saved state of the same run; a description of the difference when it is of another one.
  package mutating func restore(progress: JSON, state: JSON) -> String? {
    func integer(_ key: String) -> Int { progress[key]?.integerValue ?? -1 }
    func number(_ key: String) -> Double { progress[key]?.doubleValue ?? .nan }
    let counts = [
      "tokens_seen", "window_steps", "window_tokens", "window_trained", "window_correct",
    ]
    let sums = ["epoch", "total_loss", "window_loss", "window_seconds"]
    guard counts.allSatisfy({ (0...(1 << 53)).contains(integer($0)) }),
      sums.allSatisfy({ number($0).isFinite }),
      let history = state["log_history"]?.arrayValue
    else { return "it is damaged" }
    guard integer("steps_per_epoch") == stepsPerEpoch, integer("total_steps") == totalSteps else {
      return
        "it is of a run of \(integer("total_steps")) steps (\(integer("steps_per_epoch")) an epoch), this one has \(totalSteps) (\(stepsPerEpoch) an epoch): data or settings have changed"
    }
    let step = integer("global_step")
    guard (0...totalSteps).contains(step) else {
      return "it is damaged: global_step is \(step) of \(totalSteps)"
    }
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
