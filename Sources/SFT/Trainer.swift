// The training loop: batch, forward, loss, backward, clip, step, log, save, in this order.

import Autograd
import Files
import NN
public import QwenModel
public import Tensor

/// Fine-tunes a model on encoded rows.
public final class Trainer {
  let model: QwenModel
  let evaluationRows: [EncodedRow]
  let sampler: AnswerSampler?
  let config: TrainingConfig
  let device: Device
  let plan: BatchPlan
  let optimizer: AdamW
  let control: TrainingControl
  let observe: (TrainingEvent) -> Void
  let shouldStop: () -> Bool
  let fingerprint: RunFingerprint
  var store: RunStore
  var state: TrainerState
  let rows: [EncodedRow]
  var rowLosses: RowLosses
  /// Rows that go through the model together: bins of packed rows, or single ones.
  private let units: [[Int]]
  /// Tokens of the fullest bin.
  private let binCapacity: Int
  private let schedule: LearningRateSchedule
  /// Chooses what blocks keep; nil where they keep everything.
  private let activations: ActivationPlanner?
  /// Replays micro-batches; nil where they are not alike, or the device does not record.
  private let recorded: RecordedPasses?
  /// Whether this run has made a step, and whether the gradients are those of recorded passes.
  private var hasStepped = false
  private var hasRecordedGradients = false
  private var hasNotedProblem = false
  private var lock: FolderLock?

  /// Prepares a run: the model has its adapter (or all parameters) marked as trained already.
  ///
  /// Rows without a trained token must have been dropped, and longer ones than `maxSeqLength` cut. `shouldStop` is
  /// polled between micro-batches: a run that is stopped writes a checkpoint first. Events go to `observe`, then to
  /// `callbacks`, which may ask things of `control`.
  public init(
    model: QwenModel, rows: [EncodedRow], evaluationRows: [EncodedRow] = [],
    config: TrainingConfig, artifacts: RunArtifacts, sampler: AnswerSampler? = nil,
    on device: Device = .cpu, control: TrainingControl = TrainingControl(),
    callbacks: [any TrainingCallback] = [], shouldStop: @escaping () -> Bool = { false },
    observe: @escaping (TrainingEvent) -> Void = { _ in }
  ) throws(TrainingError) {
    try config.validate()
    guard !rows.isEmpty else { throw .nothingToTrain(rows: 0) }
    guard config.evalStrategy == .no || !evaluationRows.isEmpty else {
      throw .invalidSetting(
        name: "eval_strategy", value: config.evalStrategy.rawValue,
        expected: "no, as there are no rows to evaluate (give eval_data_path or val_size)")
    }
    func check(_ ids: [Int32], _ place: @autoclosure () -> String) throws(TrainingError) {
      for id in ids where id < 0 || Int(id) >= model.config.vocabSize {
        throw .tokenOutOfRange(id: Int(id), vocabulary: model.config.vocabSize, place: place())
      }
    }
    for rows in [rows, evaluationRows] {
      for row in rows { try check(row.inputIDs, "\(row.file):\(row.line)") }
    }
    for prompt in sampler?.prompts ?? [] { try check(prompt.ids, prompt.place) }
    self.model = model
    self.rows = rows
    self.evaluationRows = evaluationRows
    self.sampler = sampler
    self.config = config
    self.device = device
    self.control = control
    self.observe = { event in
      observe(event)
      for callback in callbacks { callback.handle(event, control: control) }
    }
    self.shouldStop = { control.isStopRequested || shouldStop() }
    rowLosses = RowLosses(count: rows.count)
    units = RowPacking.units(of: rows, config: config)
    plan = BatchPlan(rowCount: units.count, config: config)
    optimizer = AdamW(
      model.trainableParameters(), beta1: config.adamBeta1, beta2: config.adamBeta2,
      epsilon: config.adamEpsilon, weightDecay: config.weightDecay,
      loraPlusRatio: config.loraplusLrRatio ?? 1, kind: config.optim)
    model.model.embedTokens.noiseAlpha = config.neftuneNoiseAlpha
    let warmup =
      config.warmupSteps > 0
      ? config.warmupSteps : Int((config.warmupRatio * Double(plan.totalSteps)).rounded(.up))
    schedule = LearningRateSchedule(
      config.lrSchedulerType, peak: config.learningRate, warmup: warmup, total: plan.totalSteps,
      coefficients: config.lrSchedulerKwargs)
    recorded =
      config.packing && config.recordsSteps
      ? RecordedPasses(model, optimizer.slots.map(\.parameter), on: device) : nil
    binCapacity =
      units.map { $0.reduce(0) { $0 + rows[$1].inputIDs.count } }.max() ?? 0
    let (units, plan) = (units, plan)
    let padding = BatchPadding(
      bins: min(config.perDeviceTrainBatchSize, units.count), capacity: binCapacity)
    let isPadded = recorded != nil
    func largest() -> BatchSize {
      let micros = plan.microBatches(of: units, limit: 1 << 16).joined()
      let size = BatchSize(covering: micros.map { $0.map { rows[$0] } }.map(BatchSize.init))
      return isPadded ? padding.size(trained: size.trained) : size
    }
    activations = try ActivationPlanner(
      model, largest: largest(), mode: config.gradientCheckpointing, on: device)
    store = RunStore(config: config, artifacts: artifacts)
    state = TrainerState(
      config: config, totalSteps: plan.totalSteps, stepsPerEpoch: plan.stepsPerEpoch)
    fingerprint = RunFingerprint(
      config: config, adapter: artifacts.adapter, model: model, rows: rows,
      evaluationRows: evaluationRows)
  }

  /// Keeps other runs out of the output folder until this one has run, for whoever writes to it before; `run` does it too.
  public func takeOutputFolder() throws(TrainingError) {
    if lock == nil { lock = try store.takeFolder() }
  }

  /// Runs to the end and writes the result to the output folder.
  public func run() throws(TrainingError) -> TrainingSummary {
    let clock = ContinuousClock()
    let start = clock.now
    let firstStep = state.globalStep
    try takeOutputFolder()
    defer { lock = nil }
    try store.begin(totalSteps: plan.totalSteps)
    if firstStep > 0 { observe(.resumed(log: state.logHistory, step: firstStep)) }
    observe(
      .started(
        totalSteps: plan.totalSteps,
        trainedParameters: optimizer.slots.reduce(0) { $0 + $1.parameter.shape.count },
        rows: rows.count))
    if config.packing { observe(.notice("\(rows.count) rows packed into \(units.count)")) }
    if firstStep == 0 { try sample() }
    // What a stop has cut off comes first.
    if state.pending != nil { try finishStep() }
    var order = plan.order(epoch: firstStep / plan.stepsPerEpoch)
    var tokensOfRun = 0
    for step in firstStep..<max(firstStep, plan.totalSteps) {
      if state.isOutOfPatience || control.isEndRequested { break }
      if step % plan.stepsPerEpoch == 0 { order = plan.order(epoch: step / plan.stepsPerEpoch) }
      let stepStart = clock.now
      // 1. Forward and backward of every micro-batch.
      guard let sums = try accumulateGradients(step: step, order: order) else {
        throw try stopped()
      }
      // 2. Clip and update; without a trained token there is nothing to learn.
      let norm = try gradientNorm(step: step, sums)
      let learningRate = schedule.learningRate(step: step)
      if sums.trained > 0 {
        if optimizer.stepCount == 0 { try requireGradients(sums) }
        if config.maxGradNorm > 0 { optimizer.clip(norm: norm, maximum: config.maxGradNorm) }
        optimizer.step(learningRate: learningRate)
        hasStepped = true
      }
      clearGradients()
      noteProblem()
      // 3. Report.
      let seconds = (clock.now - stepStart).inSeconds
      tokensOfRun += sums.tokens
      let record = StepRecord(
        step: step + 1, totalSteps: plan.totalSteps, epoch: plan.epoch(after: step),
        loss: sums.trained > 0 ? sums.nll / Double(sums.trained) : 0, gradientNorm: norm,
        learningRate: learningRate, tokenCount: sums.tokens, trainedTokenCount: sums.trained,
        correctTokenCount: sums.correct, tokensPerSecond: Double(sums.tokens) / max(seconds, 1e-9),
        seconds: seconds)
      observe(.step(record))
      if let entry = state.add(record) {
        observe(.logged(entry))
      }
      // 4. Evaluate, sample and save where it is time to.
      state.pending = .evaluation
      try finishStep()
    }
    return try finish(seconds: (clock.now - start).inSeconds, tokens: tokensOfRun)
  }

  /// Takes the best weights where asked to, and writes the result.
  private func finish(seconds: Double, tokens: Int) throws(TrainingError) -> TrainingSummary {
    if state.skippedSteps > 0 {
      observe(.notice("\(state.skippedSteps) steps had no trained token and were skipped"))
    }
    let isLastSampled = config.sampleEvery.map { state.globalStep % $0 == 0 } ?? false
    let hasOtherWeights = try restoreBest()
    try requireFiniteParameters()
    if !isLastSampled || hasOtherWeights { try sample(isFinal: true) }
    let summary = state.finish(seconds: seconds, tokens: tokens)
    try store.writeResult(model: model, state: state, totalSteps: plan.totalSteps)
    if let losses = rowLosses.summary(of: rows) { observe(.rowLosses(losses)) }
    observe(.finished(summary))
    return summary
  }

  /// What the micro-batches of a step add up to.
  private struct StepSums {
    var nll = 0.0
    var trained = 0
    var correct = 0
    var tokens = 0
    /// Whether a token is trained that does not come second in its row: the first one sees itself alone, which leaves q and k
    /// without a gradient.
    var hasContext = false
    var places: [String] = []
  }

  /// Adds the gradients of a step's micro-batches, normalised by its trained tokens; nil when asked to stop.
  private func accumulateGradients(step: Int, order: [Int]) throws(TrainingError) -> StepSums? {
    var sums = StepSums()
    let bins = plan.microBatches(step: step, order: order)
    let indices = bins.map { $0.flatMap { units[$0] } }
    let micros = indices.map { $0.map { rows[$0] } }
    sums.trained = micros.joined().reduce(0) { $0 + $1.trainedTokenCount }
    sums.hasContext = micros.joined().contains { row in
      row.labels.dropFirst(2).contains { $0 != EncodedRow.ignoredLabel }
    }
    // The first step makes what is made once.
    let recorded = hasStepped ? recorded : nil
    recorded?.begin()
    hasRecordedGradients = recorded != nil
    for (index, micro) in micros.enumerated() {
      if shouldStop() {
        clearGradients()
        return nil
      }
      sums.tokens += micro.reduce(0) { $0 + $1.inputIDs.count }
      sums.places += micro.map { "\($0.file):\($0.line)" }
      let padding =
        self.recorded == nil || self.recorded?.problem != nil
        ? nil : BatchPadding(bins: bins[index].count, capacity: binCapacity)
      guard let batch = TrainingBatch(micro, padding: padding, on: device) else { continue }
      let randomness = Randomness(
        seed: config.seed, pass: step * config.gradientAccumulationSteps + index)
      let checkpointing = activations?.checkpointing(for: batch) ?? .off
      let scale = 1 / Double(sums.trained)
      func note(_ statistics: LossStatistics) throws(TrainingError) {
        do throws(DeviceError) {
          // Rows that count for nothing come last.
          let nll = try Array(statistics.nll.doubles().prefix(batch.trainedTokenCount))
          for value in nll { sums.nll += value }
          rowLosses.note(nll, of: indices[index], in: rows)
          for value in try statistics.isCorrect.array(of: UInt8.self) { sums.correct += Int(value) }
        } catch { throw .device(error) }
        guard sums.nll.isFinite else {
          throw .notFinite(step: step + 1, what: "loss", rows: sums.places)
        }
      }
      if let result = recorded?.run(
        batch, randomness: randomness, checkpointing: checkpointing, scale: scale)
      {
        try note(result.statistics)
      } else {
        let pass = TrainingPass(
          model, batch, randomness: randomness, checkpointing: checkpointing, scale: scale)
        try note(pass.statistics)
        pass.backward()
      }
    }
    return sums
  }

  /// How many micro-batches were replayed.
  package var replayedPassCount: Int { recorded?.replayCount ?? 0 }

  /// Says once why micro-batches are not recorded.
  private func noteProblem() {
    guard let problem = recorded?.problem, !hasNotedProblem else { return }
    hasNotedProblem = true
    observe(.notice("steps are not recorded: \(problem)"))
  }

  private func clearGradients() {
    if hasRecordedGradients { recorded?.end() }
    hasRecordedGradients = false
    optimizer.clearGradients()
  }

  private func gradientNorm(step: Int, _ sums: StepSums) throws(TrainingError) -> Double {
    let norm: Double
    do { norm = try optimizer.gradientNorm() } catch { throw .device(error) }
    guard norm.isFinite else {
      throw .notFinite(step: step + 1, what: "gradient", rows: sums.places)
    }
    return norm
  }

  /// Every trained tensor must have a gradient, and not all of the adapters' B one of 0. Some may be 0 at first: those in a block whose
  /// last map is 0, which begins to count once that map's own adapter does.
  private func requireGradients(_ sums: StepSums) throws(TrainingError) {
    for slot in optimizer.slots where slot.parameter.gradient == nil {
      throw .noGradient(key: slot.key)
    }
    // Where only second tokens are trained, q and k have no influence.
    let adapters = optimizer.slots.filter {
      $0.key.hasSuffix("lora_B.weight")
        && (sums.hasContext || !($0.key.contains(".q_proj.") || $0.key.contains(".k_proj.")))
    }
    guard !adapters.isEmpty else { return }
    do throws(DeviceError) {
      for slot in adapters {
        if let gradient = slot.parameter.gradient, try gradient.squaredNorm().item() != 0 { return }
      }
    } catch { throw .device(error) }
    throw .noAdapterGradient
  }
}

extension Duration {
  /// The duration in seconds.
  package var inSeconds: Double {
    Double(components.seconds) + Double(components.attoseconds) * 1e-18
  }
}
