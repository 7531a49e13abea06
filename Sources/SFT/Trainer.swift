// The training loop: batch, forward, loss, backward, clip, step, log, save, in this order.

import Autograd
import NN
public import QwenModel
public import Tensor

/// Fine-tunes a model on encoded rows.
public final class Trainer {
  private let model: QwenModel
  private let rows: [EncodedRow]
  private let config: TrainingConfig
  private let device: Device
  private let plan: BatchPlan
  private let optimizer: AdamW
  private let schedule: LearningRateSchedule
  private var store: RunStore
  private let observe: (TrainingEvent) -> Void
  private let shouldStop: () -> Bool
  private var state: TrainerState

  /// Prepares a run: the model has its adapter (or all parameters) marked as trained already.
  ///
  /// Rows without a trained token must have been dropped. `shouldStop` is polled between micro-batches: a run that is
  /// stopped writes a checkpoint first.
  public init(
    model: QwenModel, rows: [EncodedRow], config: TrainingConfig, artifacts: RunArtifacts,
    on device: Device = .cpu, shouldStop: @escaping () -> Bool = { false },
    observe: @escaping (TrainingEvent) -> Void = { _ in }
  ) throws(TrainingError) {
    try config.validate()
    guard !rows.isEmpty else { throw .nothingToTrain(rows: 0) }
    for row in rows {
      for id in row.inputIDs where id < 0 || Int(id) >= model.config.vocabSize {
        throw .tokenOutOfRange(
          id: Int(id), vocabulary: model.config.vocabSize, place: "\(row.file):\(row.line)")
      }
    }
    self.model = model
    self.rows = rows
    self.config = config
    self.device = device
    self.observe = observe
    self.shouldStop = shouldStop
    plan = BatchPlan(rowCount: rows.count, config: config)
    optimizer = AdamW(
      model.trainableParameters(), beta1: config.adamBeta1, beta2: config.adamBeta2,
      epsilon: config.adamEpsilon, weightDecay: config.weightDecay,
      loraPlusRatio: config.loraplusLrRatio ?? 1)
    model.model.embedTokens.noiseAlpha = config.neftuneNoiseAlpha
    let warmup =
      config.warmupSteps > 0
      ? config.warmupSteps : Int((config.warmupRatio * Double(plan.totalSteps)).rounded(.up))
    schedule = LearningRateSchedule(
      config.lrSchedulerType, peak: config.learningRate, warmup: warmup, total: plan.totalSteps,
      coefficients: config.lrSchedulerKwargs)
    store = RunStore(config: config, artifacts: artifacts)
    state = TrainerState(
      config: config, totalSteps: plan.totalSteps, stepsPerEpoch: plan.stepsPerEpoch)
  }

  /// Continues from a checkpoint folder instead of the beginning.
  public func resume(from checkpoint: String) throws(TrainingError) {
    state = try store.restore(checkpoint, model: model, optimizer: optimizer, expecting: state)
  }

  /// What `resumeFromNewestCheckpoint` found.
  public enum Resumption: Sendable, Equatable {
    /// The run has ended already: there is nothing left to do.
    case finished
    /// It goes on from this folder.
    case resumed(from: String)
    /// There is no whole checkpoint: it starts from the beginning.
    case fromBeginning
  }

  /// Continues from the newest whole checkpoint of the run in the output folder; damaged ones are passed over, each
  /// with a notice.
  public func resumeFromNewestCheckpoint() -> Resumption {
    switch RunStore.earlierRun(in: config.outputDir) {
    case .none: return .fromBeginning
    case .finished: return .finished
    case .checkpoints(let folders):
      for folder in folders {
        do throws(TrainingError) {
          try resume(from: folder)
          return .resumed(from: folder)
        } catch {
          observe(.notice("passing over a checkpoint that cannot be used: \(error.description)"))
        }
      }
      return .fromBeginning
    }
  }

  /// Runs to the end and writes the result to the output folder.
  public func run() throws(TrainingError) -> TrainingSummary {
    let clock = ContinuousClock()
    let start = clock.now
    let firstStep = state.globalStep
    try store.begin()
    if firstStep > 0 { observe(.resumed(log: state.logHistory)) }
    observe(
      .started(
        totalSteps: plan.totalSteps,
        trainedParameters: optimizer.slots.reduce(0) { $0 + $1.parameter.shape.count },
        rows: rows.count))
    var order = plan.order(epoch: firstStep / plan.stepsPerEpoch)
    var tokensOfRun = 0
    for step in firstStep..<max(firstStep, plan.totalSteps) {
      if step % plan.stepsPerEpoch == 0 { order = plan.order(epoch: step / plan.stepsPerEpoch) }
      let stepStart = clock.now
      // 1. Forward and backward of every micro-batch.
      guard let sums = try accumulateGradients(step: step, order: order) else {
        throw .interrupted(step: step, checkpoint: try saveCheckpoint(orNilAt: firstStep))
      }
      // 2. Clip and update.
      let norm = try gradientNorm(step: step, sums)
      if step == 0 { try requireGradients() }
      if config.maxGradNorm > 0 { optimizer.clip(norm: norm, maximum: config.maxGradNorm) }
      let learningRate = schedule.learningRate(step: step)
      if sums.trained > 0 { optimizer.step(learningRate: learningRate) }
      optimizer.clearGradients()
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
      if let entry = state.add(record, loggingSteps: config.loggingSteps) {
        observe(.logged(entry))
      }
      // 4. Save.
      if isSaveDue(after: step) { _ = try saveCheckpoint() }
    }
    let seconds = (clock.now - start).inSeconds
    let summary = state.finish(seconds: seconds, tokens: tokensOfRun)
    try store.writeResult(model: model, state: state)
    observe(.finished(summary))
    return summary
  }

  /// What the micro-batches of a step add up to.
  private struct StepSums {
    var nll = 0.0
    var trained = 0
    var correct = 0
    var tokens = 0
    var places: [String] = []
  }

  /// Adds the gradients of a step's micro-batches, normalised by its trained tokens; nil when asked to stop.
  private func accumulateGradients(step: Int, order: [Int]) throws(TrainingError) -> StepSums? {
    var sums = StepSums()
    let micros = plan.microBatches(step: step, order: order).map { $0.map { rows[$0] } }
    sums.trained = micros.joined().reduce(0) { $0 + $1.trainedTokenCount }
    for (index, micro) in micros.enumerated() {
      if shouldStop() {
        optimizer.clearGradients()
        return nil
      }
      sums.tokens += micro.reduce(0) { $0 + $1.inputIDs.count }
      sums.places += micro.map { "\($0.file):\($0.line)" }
      guard let batch = TrainingBatch(micro, on: device) else { continue }
      let tape = Tape(
        randomness: Randomness(
          seed: config.seed, pass: step * config.gradientAccumulationSteps + index))
      let hidden = model.hidden(
        batch.tokens, on: tape, checkpointing: config.gradientCheckpointing)
      let (loss, statistics) = linearCrossEntropy(
        hidden: hidden, weight: tape.leaf(model.headWeight), rows: batch.rows,
        targets: batch.targets, scale: 1 / Double(sums.trained))
      do throws(DeviceError) {
        for value in try statistics.nll.doubles() { sums.nll += value }
        for value in try statistics.isCorrect.array(of: UInt8.self) { sums.correct += Int(value) }
      } catch { throw .device(error) }
      guard sums.nll.isFinite else {
        throw .notFinite(step: step + 1, what: "loss", rows: sums.places)
      }
      tape.backward(from: loss)
    }
    return sums
  }

  private func gradientNorm(step: Int, _ sums: StepSums) throws(TrainingError) -> Double {
    let norm: Double
    do { norm = try optimizer.gradientNorm() } catch { throw .device(error) }
    guard norm.isFinite else {
      throw .notFinite(step: step + 1, what: "gradient", rows: sums.places)
    }
    return norm
  }

  /// Every trained tensor must have a gradient, and one of the adapters' B must not be zero.
  private func requireGradients() throws(TrainingError) {
    for slot in optimizer.slots where slot.parameter.gradient == nil {
      throw .noGradient(key: slot.key)
    }
    do {
      for slot in optimizer.slots where slot.key.hasSuffix("lora_B.weight") {
        if let gradient = slot.parameter.gradient, try gradient.squaredNorm().item() == 0 {
          throw TrainingError.noGradient(key: slot.key)
        }
      }
    } catch let error as DeviceError { throw .device(error) } catch let error as TrainingError {
      throw error
    } catch { preconditionFailure("requireGradients: unexpected error \(error)") }
  }

  private func isSaveDue(after step: Int) -> Bool {
    switch config.saveStrategy {
    case .no: false
    case .steps: (step + 1) % config.saveSteps == 0 || step + 1 == plan.totalSteps
    case .epoch: (step + 1) % plan.stepsPerEpoch == 0 || step + 1 == plan.totalSteps
    }
  }

  @discardableResult
  private func saveCheckpoint() throws(TrainingError) -> String {
    let path = try store.saveCheckpoint(model: model, optimizer: optimizer, state: state)
    observe(.saved(path: path, step: state.globalStep))
    return path
  }

  /// A checkpoint of the last complete step; nil when there has been none in this run.
  private func saveCheckpoint(orNilAt firstStep: Int) throws(TrainingError) -> String? {
    state.globalStep > 0 ? try saveCheckpoint() : nil
  }
}

extension Duration {
  /// The duration in seconds.
  package var inSeconds: Double {
    Double(components.seconds) + Double(components.attoseconds) * 1e-18
  }
}
