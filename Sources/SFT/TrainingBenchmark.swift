// How fast this machine trains a model: the same work as one LoRA step of the Python peers, timed.

import Autograd
import NN
public import QwenModel
public import Tensor

/// Times training steps on random tokens.
public struct TrainingBenchmark: Sendable {
  /// What was measured.
  public struct Result: Sendable {
    /// Tokens per second of the fastest step but the first.
    public var tokensPerSecond: Double
    /// Seconds of every step.
    public var stepSeconds: [Double]
    /// Loss of the last step.
    public var loss: Double
    /// Norm of the gradient of the last step: a fast step that computes nothing would show here.
    public var gradientNorm: Double
    /// Buffers that every step had to take from the system; 0 after the second step, where rows are equally long.
    public var poolMisses: [Int] = []
    /// Steps whose forward and backward were recorded work.
    public var replayedSteps = 0
    /// Why steps were not recorded where the device records; nil where they were.
    public var recordingProblem: String?
  }

  /// Tokens of a row, rows of a step, and steps.
  public var tokens = 512
  /// Rows of a step.
  public var batch = 1
  /// Steps; the first is warm-up, and on a device that records one more comes before it.
  public var steps = 4
  /// Share of a row's tokens, at its end, that are trained.
  public var trainedShare = 0.5
  /// What blocks keep for backward.
  public var gradientCheckpointing = GradientCheckpointing.off
  /// Queue what was recorded of the second step for those after it, on devices that can.
  public var recordsSteps = true

  /// The defaults of `bench`.
  public init() {}

  /// Runs on a model whose adapter (rank 16 on all seven projections where it has none) is trained.
  public func run(_ model: QwenModel, on device: Device) throws(TrainingError) -> Result {
    do {
      if model.namedAdapters().isEmpty {
        try model.injectLoRA(LoRAConfig(dropout: 0))
        for (_, adapter) in model.namedAdapters() { adapter.initialize(seed: 42, on: device) }
      }
    } catch {
      throw .invalidSetting(name: "model", value: "\(error)", expected: "a Qwen model")
    }
    let optimizer = AdamW(
      model.trainableParameters(), beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0)
    var random = RandomSequence(RandomStream(seed: 42, purpose: .test))
    let vocabulary = max(1, model.config.vocabSize - 1000)
    let masked = Int(Double(tokens) * (1 - trainedShare))
    let activations = try ActivationPlanner(
      model, largest: BatchSize(tokens: tokens * batch, trained: (tokens - masked) * batch),
      mode: gradientCheckpointing, on: device)
    let recorder = RecordedPasses(model, optimizer.slots.map(\.parameter), on: device)
    let recorded = recordsSteps ? recorder : nil
    let clock = ContinuousClock()
    var result = Result(tokensPerSecond: 0, stepSeconds: [], loss: 0, gradientNorm: 0)
    // What is made once, and then the recording, are no step's work: where steps can be recorded the first is not counted, whether they
    // are or not, so that both ways take the same steps.
    for step in (recorder == nil ? 1 : 0)...steps {
      let rows = (0..<batch).map { _ in
        let ids = (0..<tokens).map { _ in Int32.random(in: 0..<Int32(vocabulary), using: &random) }
        return EncodedRow(
          inputIDs: ids,
          labels: ids.enumerated().map {
            $0.offset < masked ? EncodedRow.ignoredLabel : $0.element
          },
          file: "random", line: 1)
      }
      guard let data = TrainingBatch(rows, on: device) else { throw .nothingToTrain(rows: batch) }
      let (start, misses) = (clock.now, device.memory.missCount)
      let checkpointing = activations?.checkpointing(for: data) ?? .off
      let scale = 1 / Double(data.trainedTokenCount)
      let recorded = step > 0 ? recorded : nil
      recorded?.begin()
      let loss: Tensor
      if let pass = recorded?.run(
        data, randomness: nil, checkpointing: checkpointing, scale: scale)
      {
        loss = pass.loss
      } else {
        let pass = TrainingPass(model, data, checkpointing: checkpointing, scale: scale)
        loss = pass.loss.value
        pass.backward()
      }
      do throws(DeviceError) {
        result.gradientNorm = try optimizer.gradientNorm()
        optimizer.clip(norm: result.gradientNorm, maximum: 1)
        optimizer.step(learningRate: 2e-4)
        recorded?.end()
        optimizer.clearGradients()
        result.loss = try loss.item()
        try device.synchronize()
      } catch { throw .device(error) }
      guard step > 0 else { continue }
      result.stepSeconds.append((clock.now - start).inSeconds)
      result.poolMisses.append(device.memory.missCount - misses)
    }
    result.replayedSteps = recorded?.replayCount ?? 0
    result.recordingProblem = recorded?.problem
    let best = (result.stepSeconds.dropFirst().min() ?? result.stepSeconds.first) ?? .infinity
    result.tokensPerSecond = Double(tokens * batch) / best
    return result
  }
}
