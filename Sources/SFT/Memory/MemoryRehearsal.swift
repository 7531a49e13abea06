// A run without numbers: the model is loaded, trained and saved on a backend that counts bytes and computes nothing. So the
// plan follows the code whatever becomes of it.

import Autograd
import NN
import QwenModel
import Safetensors
import Tensor

/// Counts the memory of a run.
package struct MemoryRehearsal {
  private let run: RunOutline
  private let backend: SizingBackend
  private let network: QwenModel
  private let optimizer: AdamW
  /// Bytes that this process holds for itself, its tokenizer and its data.
  private let programByteCount: Int
  private var parts: [(part: MemoryPlan.Part, byteCount: Int)] = []
  private var loadingPeak = 0

  /// Micro-batches that are gone through in the order of the run, so that buffers of all sizes come to wait.
  package static let microBatchCount = 64

  /// Loads what there is to load, which reads headers alone, but for a head beside a tied embedding, which is compared with it.
  package init(_ run: RunOutline, programByteCount: Int) throws {
    (self.run, self.programByteCount) = (run, programByteCount)
    backend = SizingBackend(for: run.device.backend)
    let device = backend.device
    var options = run.weights
    options.isRehearsal = true
    options.notice = { _ in }
    let checkpoint = try Checkpoint(folder: run.modelDirectory)
    network = try QwenModel.load(directory: run.modelDirectory, options: options, on: device)
    if run.computesInBFloat16 { network.computeDType = .bfloat16 }
    // One tensor of the file is there beside its copy.
    let largest = checkpoint.keys.map { (try? checkpoint.info(of: $0).byteCount) ?? 0 }.max() ?? 0
    loadingPeak = backend.peakResidentByteCount + largest
    let loaded = backend.memory.liveByteCount
    try Self.prepare(network, run, on: backend)
    network.model.embedTokens.noiseAlpha = run.config.neftuneNoiseAlpha
    let prepared = backend.memory.liveByteCount
    optimizer = AdamW(
      network.trainableParameters(), beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0,
      kind: run.config.optim)
    for (key, parameter) in network.namedParameters() {
      add(Self.part(of: key), parameter.value.byteCount)
    }
    for (_, linear) in network.namedLinears() {
      add(.linear, linear.packedWeight?.byteCount ?? 0)
    }
    add(.adapter, prepared - loaded)
    add(.optimizer, backend.memory.liveByteCount - prepared)
  }

  private mutating func add(_ part: MemoryPlan.Part, _ byteCount: Int) {
    if let index = parts.firstIndex(where: { $0.part == part }) {
      parts[index].byteCount += byteCount
    } else {
      parts.append((part, byteCount))
    }
  }

  private static func part(of key: String) -> MemoryPlan.Part {
    if key.hasPrefix("lm_head.") { return .head }
    if key.contains("embed_tokens") { return .embedding }
    return key.contains("norm") || key.hasSuffix("bias") ? .norms : .linear
  }

  /// Marks what is trained, and attaches the adapter.
  private static func prepare(_ network: QwenModel, _ run: RunOutline, on backend: SizingBackend)
    throws
  {
    guard let lora = run.config.lora else { return network.setTrainable(true) }
    if let adapterDirectory = run.adapterDirectory {
      _ = try AdapterFile.load(
        adapterDirectory, into: network, on: backend.device, isRehearsal: true)
      return
    }
    try network.injectLoRA(lora)
    try network.initializeAdapters(
      lora.initialization, seed: 0, isRehearsal: true, on: backend.device)
  }

  /// Goes through the run.
  ///
  /// - Throws: ``TrainingError/invalidSetting(name:value:expected:)`` where a memory budget cannot be kept.
  package consuming func plan(microBatches: Int = microBatchCount, choosesAll: Bool = false) throws
    -> MemoryPlan
  {
    let all = run.microBatches(limit: RunOutline.microBatchLimit)
    let sizes = all.joined().map { run.size($0) }
    let largest = BatchSize(covering: sizes)
    var sizing = ActivationPlanner(network, budget: nil)
    add(.gradients, sizing.gradientByteCount)
    let mapped = network.mappedByteCount
    let outside = programByteCount + mapped + ActivationPlanner.libraryByteCount
    var fixed = outside + backend.memory.liveByteCount + sizing.gradientByteCount
    if case .auto(let budget) = run.config.gradientCheckpointing {
      let saving = network.compressionSaving
      if sizing.decompress(network, largest, room: ActivationPlanner.usable(budget - fixed)) {
        add(.linear, saving)
        sizing = ActivationPlanner(network, budget: nil)
        fixed += saving
      }
    }
    var activations: ActivationPlanner?
    switch run.config.gradientCheckpointing {
    case .off: break
    case .full: activations = sizing
    case .auto(let budget):
      let least = sizing.footprint(of: largest, .full)
      let usable = ActivationPlanner.usable(budget - fixed)
      guard least <= usable else {
        throw ActivationPlanner.budgetTooSmall(budget, least: fixed + least / 19 * 20)
      }
      backend.limitMemory(to: budget - outside)
      activations = ActivationPlanner(network, budget: usable)
    }
    let peak = try measure(all, largest: largest, microBatches: microBatches, activations)
    var plan = finished(
      peak, largest: largest, mapped: mapped,
      checkpointing: activations?.checkpointing(for: largest) ?? .off)
    if choosesAll, let activations {
      for size in Set(sizes.map(\.rounded)) {
        plan.choices[size] = activations.checkpointing(for: size)
      }
    }
    return plan
  }

  /// What the largest micro-batch takes.
  private struct Peak {
    var activations = 0
    var head = 0
    var backward = 0
  }

  private func measure(
    _ steps: [[[Int]]], largest: BatchSize, microBatches: Int, _ activations: ActivationPlanner?
  ) throws -> Peak {
    var count = 0
    for step in steps where count < microBatches {
      for micro in step {
        count += 1
        train(micro, activations)
      }
      try update()
    }
    // The largest one is watched. A gradient is there already, as in all micro-batches but the first of a step.
    let isAlone = steps.allSatisfy { $0.count <= 1 }
    var peak = Peak()
    let order = steps.joined().sorted { run.size($0).tokens > run.size($1).tokens }
    for (index, micro) in order.prefix(3).enumerated() {
      train(micro, activations)
      if isAlone { try update() }
      guard index == 0 else { continue }
      peak = watch(micro, activations)
      if isAlone { try update() }
    }
    if let wordiest = steps.joined().max(by: { run.size($0).trained < run.size($1).trained }) {
      train(wordiest, activations)
    }
    try update()
    if run.config.evalStrategy != .no {
      let rows = run.evaluationRows
      let longest = rows.max { $0.inputIDs.count < $1.inputIDs.count }
      _ = try Evaluator(model: network, on: backend.device).evaluate(
        Array(rows.prefix(32)) + (longest.map { [$0] } ?? []))
    }
    try run.sampler?.rehearse(on: network)
    return peak
  }

  private func train(_ micro: [Int], _ activations: ActivationPlanner?) {
    let rows = micro.map { run.rows[$0] }
    guard let batch = TrainingBatch(rows, on: backend.device) else { return }
    TrainingPass(
      network, batch, randomness: Randomness(seed: 0, pass: 0),
      checkpointing: activations?.checkpointing(for: batch) ?? .off, scale: 1
    ).backward()
  }

  private func watch(_ micro: [Int], _ activations: ActivationPlanner?) -> Peak {
    let rows = micro.map { run.rows[$0] }
    guard let batch = TrainingBatch(rows, on: backend.device) else { return Peak() }
    let before = backend.memory.liveByteCount
    var kept = 0
    let pass = TrainingPass(
      network, batch, randomness: Randomness(seed: 0, pass: 0),
      checkpointing: activations?.checkpointing(for: batch) ?? .off, scale: 1
    ) {
      kept = backend.memory.liveByteCount
      backend.resetPeakMemory()
    }
    let head = backend.memory.peakByteCount - kept
    backend.resetPeakMemory()
    pass.backward()
    let backward = backend.memory.peakByteCount - kept
    return Peak(activations: kept - before, head: head, backward: max(0, backward))
  }

  /// As the trainer does after the micro-batches of a step.
  private func update() throws {
    optimizer.clip(norm: max(1e-3, try optimizer.gradientNorm()), maximum: 1e-4)
    optimizer.step(learningRate: 0)
    optimizer.clearGradients()
  }

  private consuming func finished(
    _ peak: Peak, largest: BatchSize, mapped: Int, checkpointing: Checkpointing
  ) -> MemoryPlan {
    let known = parts.reduce(0) { $0 + $1.byteCount } - mapped
    // What is beyond the weights, the optimizer and the gradients. Pages of a buffer that nobody has written to are not
    // there, and gradients that come while activations go take their place: parts may add up to more than the peak.
    let beyond = max(0, backend.peakResidentByteCount - known)
    let activations = min(peak.activations, beyond)
    let workspace = min(max(peak.head, peak.backward), beyond - activations)
    add(.activations, activations)
    add(.workspace, workspace)
    add(.pool, beyond - activations - workspace)
    let slots = optimizer.slots.map { $0.parameter.shape.count }
    add(.saving, 4 * min(slots.max() ?? 0, SafetensorsWriter.pieceSize))
    add(.program, programByteCount)
    add(.libraries, ActivationPlanner.libraryByteCount)
    let training = parts.reduce(0) { $0 + $1.byteCount }
    add(.loading, max(0, programByteCount + loadingPeak - training))
    return MemoryPlan(
      parts: parts.filter { $0.byteCount != 0 }, headByteCount: peak.head,
      backwardByteCount: peak.backward, checkpointing: checkpointing,
      largestTokens: largest.tokens, largestTrained: largest.trained,
      parameterCount: network.namedParameters().reduce(0) { $0 + $1.parameter.shape.count }
        + network.namedLinears().reduce(0) {
          $0 + ($1.linear.packedWeight?.shape.count ?? 0)
        },
      trainedParameterCount: slots.reduce(0, +),
      trained8BitParameterCount: optimizer.slots.reduce(0) {
        $0 + ($1.firstMoment.scales != nil ? $1.parameter.shape.count : 0)
      })
  }
}

extension MemoryPlan {
  /// The memory of `run` in a process that holds `programByteCount` bytes for itself, its tokenizer and its data.
  ///
  /// No weight is read; `isQuick` looks at fewer micro-batches.
  ///
  /// - Throws: what loading the model, attaching the adapter or keeping the budget would throw.
  public init(_ run: RunOutline, programByteCount: Int, isQuick: Bool = false) throws {
    self = try MemoryRehearsal(run, programByteCount: programByteCount).plan(
      microBatches: isQuick ? 16 : MemoryRehearsal.microBatchCount, choosesAll: !isQuick)
  }
}
