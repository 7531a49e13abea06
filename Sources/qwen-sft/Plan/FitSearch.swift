// Settings that fit a given memory: the ones that cost least are tried, what was measured puts them in order.

import SFT
import Tensor

/// Looks for settings that take no more than a number of bytes.
struct FitSearch {
  /// Settings that fit.
  struct Proposal {
    /// The options that `train` is to be given.
    let commandLine: String
    /// What they take.
    let memory: MemoryPlan
    /// How long they take; nil where nothing was measured.
    let time: TimeEstimate?
  }

  let input: PlannedRun.Input
  let rows: PlannedRun.Rows
  let config: TrainingConfig
  let limit: Int
  let programByteCount: Int
  let device: Device
  let probes: Bool

  /// The shortest rows that are proposed.
  private static let shortestLength = 128

  /// Settings that fit, the fastest first. Rows are cut shorter only where nothing else helps.
  func proposals() throws -> [Proposal] {
    var (config, rows) = (config, rows)
    while true {
      var found: [Proposal] = []
      for precision in precisions() {
        if let proposal = try proposal(config, rows, precision) { found.append(proposal) }
      }
      guard found.isEmpty else {
        return found.sorted {
          ($0.time?.totalSeconds ?? 0, $0.memory.peakByteCount)
            < ($1.time?.totalSeconds ?? 0, $1.memory.peakByteCount)
        }
      }
      let longest = rows.training.map(\.inputIDs.count).max() ?? 0
      config.maxSeqLength = min(config.maxSeqLength, longest) / 2
      guard config.maxSeqLength >= Self.shortestLength else { return [] }
      do { rows = try PlannedRun.Rows(input, config: config) } catch is DataError { return [] }
    }
  }

  /// How the weights are kept: as asked for, and in fewer bits.
  private func precisions() -> [PrecisionOptions] {
    var result = [input.precision]
    for (bf16, useQLoRA) in [(true, false), (false, true), (true, true)] {
      if useQLoRA && config.lora == nil { continue }
      var other = input.precision
      if bf16 { other.bf16 = true }
      if useQLoRA { other.useQLoRA = true }
      let isNew = !result.contains {
        ($0.bf16 == true) == (other.bf16 == true) && $0.useQLoRA == other.useQLoRA
      }
      if isNew { result.append(other) }
    }
    return result
  }

  /// What blocks may keep, the fastest first. Buffers that wait can make the peak a little higher than a budget: then a
  /// smaller one is given, and full checkpointing is the last resort.
  private var modes: [GradientCheckpointing] {
    // A budget is one of a GPU's memory there, and a plan counts in this machine's.
    guard device.freeByteCount == nil else { return [.off, .full] }
    let budgets = [20, 19, 18, 16].map { GradientCheckpointing.auto(memoryBudget: limit / 20 * $0) }
    return [.off] + budgets + [.full]
  }

  /// The largest micro-batch that fits, with as many micro-batches more; nil where none does.
  private func proposal(
    _ config: TrainingConfig, _ rows: PlannedRun.Rows, _ precision: PrecisionOptions
  ) throws -> Proposal? {
    var (input, config) = (input, config)
    input.precision = precision
    while true {
      for mode in modes {
        config.gradientCheckpointing = mode
        guard let run = try planned(input, rows, config), run.memory.peakByteCount <= limit else {
          continue
        }
        let time = try probes ? TimeProbe(run.outline, run.memory, on: device).estimate() : nil
        return Proposal(
          commandLine: commandLine(config, precision), memory: run.memory, time: time)
      }
      guard config.perDeviceTrainBatchSize.isMultiple(of: 2) else { return nil }
      config.perDeviceTrainBatchSize /= 2
      config.gradientAccumulationSteps *= 2
    }
  }

  private func planned(
    _ input: PlannedRun.Input, _ rows: PlannedRun.Rows, _ config: TrainingConfig
  ) throws -> PlannedRun? {
    do {
      return try PlannedRun(input, rows: rows, config: config, programByteCount: programByteCount)
    } catch TrainingError.invalidSetting(name: "memory_budget", _, _) {
      return nil
    }
  }

  /// The command line of this process with the settings that have changed.
  private func commandLine(_ config: TrainingConfig, _ precision: PrecisionOptions) -> String {
    guard let expansion = RecipeExpansion.current else { return "" }
    let command = expansion.command
    var values = command.values(of: Array(expansion.arguments.dropFirst(expansion.path.count)))
    for name in ["fit", "probe", "json", "config", "memory-budget"] { values[name] = nil }
    func set(_ name: String, _ value: some CustomStringConvertible) {
      values[command.canonical(name)] = [value.description]
    }
    set("gradient-checkpointing", config.gradientCheckpointing.name)
    if case .auto(let budget) = config.gradientCheckpointing { set("memory-budget", budget) }
    if precision.bf16 == true { set("bf16", true) }
    if precision.useQLoRA { set("use-qlora", true) }
    if config.perDeviceTrainBatchSize != self.config.perDeviceTrainBatchSize {
      set("per-device-train-batch-size", config.perDeviceTrainBatchSize)
      set("gradient-accumulation-steps", config.gradientAccumulationSteps)
    }
    if config.maxSeqLength != self.config.maxSeqLength {
      set("max-seq-length", config.maxSeqLength)
    }
    let words = ["qwen-sft", "train"] + command.arguments(of: values)
    return words.map(Self.shellWord).joined(separator: " ")
  }

  /// `word` as a shell reads it back.
  private static func shellWord(_ word: String) -> String {
    let isPlain = word.utf8.allSatisfy {
      (0x30...0x39).contains($0) || (0x41...0x5A).contains($0) || (0x61...0x7A).contains($0)
        || [0x2D, 0x2E, 0x2F, 0x3A, 0x3D, 0x5F, 0x2C].contains($0)
    }
    guard !isPlain else { return word }
    return "'"
      + word.split(separator: "'", omittingEmptySubsequences: false)
      .joined(separator: "'\\''") + "'"
  }
}
