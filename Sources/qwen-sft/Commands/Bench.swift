// `qwen-sft bench`: how fast this machine is on a model.

import ArgumentParser
import OrderedJSON
import QwenModel
import SFT
import Safetensors
import Tensor

/// Training and decoding speed of this machine on a model.
struct Bench: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Measures training or decoding speed and memory on this machine.")

  @OptionGroup var model: ModelOptions
  @OptionGroup var adapter: AdapterOptions
  @OptionGroup var precision: PrecisionOptions
  @OptionGroup var common: CommonOptions

  @Option(help: ArgumentHelp("Tokens of a row.", valueName: "n")) var tokens = 512
  @Option(help: ArgumentHelp("Rows of a step; with --decode, sequences at a time.", valueName: "n"))
  var batch = 1
  @Option(help: ArgumentHelp("Steps; the first is warm-up.", valueName: "n")) var steps = 4
  @Option(help: ArgumentHelp("Share of the tokens that are trained.", valueName: "share"))
  var trainedShare = 0.5
  @Option(defaultAsFlag: .full, help: "Recompute blocks in backward: full, off or auto.")
  var gradientCheckpointing: CheckpointingMode?
  @Option(
    help: ArgumentHelp("Memory of the whole program with auto, such as 4GB.", valueName: "size"))
  var memoryBudget: MemorySize?
  @Flag(
    inversion: .prefixedNo, exclusivity: .chooseLast,
    help: "On a GPU, queue the recorded work of one step for the others.")
  var recordSteps = true
  @Option(help: ArgumentHelp("Measure generation of so many tokens instead.", valueName: "n"))
  var decode: Int?
  @Option(help: ArgumentHelp("Tokens of the prompt with --decode.", valueName: "n"))
  var promptTokens = 128
  @Flag(help: "Print one JSON value.") var json = false

  mutating func validate() throws {
    let most = 1 << 20
    for (name, value) in [
      ("tokens", tokens), ("batch", batch), ("steps", steps), ("prompt_tokens", promptTokens),
      ("decode", decode ?? 1),
    ] where !(1...most).contains(value) {
      throw ValidationError("--\(name): expected 1 to \(most), found \(value)")
    }
    for (name, value) in [("tokens", tokens), ("prompt_tokens", promptTokens)]
    where value * batch > 1 << 24 {
      throw ValidationError(
        "--\(name) times --batch: expected \(1 << 24) at most, found \(value * batch)")
    }
    if !(trainedShare > 0 && trainedShare <= 1) {
      throw ValidationError("--trained_share: expected above 0 to 1, found \(trainedShare)")
    }
  }

  mutating func run() throws {
    let device = try common.start()
    let folder = try model.folder()
    let clock = ContinuousClock()
    let start = clock.now
    let network = try Session.model(
      folder, adapter: try adapter.folder(isOffline: model.offline), precision: precision,
      for: decode == nil
        ? Session.use(
          try CheckpointingMode.resolved(gradientCheckpointing, budget: memoryBudget, on: device),
          on: device)
        : .generation, on: device)
    let loadSeconds = (clock.now - start).inSeconds
    let result =
      try decode.map { try measureDecoding(network, newTokens: $0) }
      ?? measureTraining(network, device, loadSeconds)
    if json {
      try StandardOutput.write(line: JSON.object(result).serialized())
    } else {
      for (key, value) in result {
        try StandardOutput.write(line: "\(key): \(value.serialized())")
      }
    }
  }

  private func measureTraining(_ network: QwenModel, _ device: Device, _ loadSeconds: Double) throws
    -> JSONObject
  {
    var benchmark = TrainingBenchmark()
    benchmark.tokens = tokens
    benchmark.batch = batch
    benchmark.steps = steps
    benchmark.trainedShare = trainedShare
    benchmark.recordsSteps = recordSteps
    benchmark.gradientCheckpointing = try CheckpointingMode.resolved(
      gradientCheckpointing, budget: memoryBudget, on: device)
    let result = try benchmark.run(network, on: device)
    if let problem = result.recordingProblem {
      Diagnostics.notice("steps are not recorded: \(problem)")
    }
    return JSONObject([
      ("tokens_per_second", .number(result.tokensPerSecond)),
      ("step_seconds", .array(result.stepSeconds.map { .number($0) })),
      ("load_seconds", .number(loadSeconds)),
      ("peak_bytes", .integer(ProcessMemory.peakResidentByteCount)),
      ("device", .string(device.name)), ("threads", .integer(Workers.count)),
      ("device_peak_bytes", .integer(device.memory.peakByteCount)),
      ("replayed_steps", .integer(result.replayedSteps)),
      ("loss", .number(result.loss)), ("gradient_norm", .number(result.gradientNorm)),
    ])
  }

  private func measureDecoding(_ network: QwenModel, newTokens: Int) throws -> JSONObject {
    var benchmark = DecodingBenchmark()
    benchmark.promptTokens = promptTokens
    benchmark.newTokens = newTokens
    benchmark.sequences = batch
    benchmark.screensHead = Session.screensHead(of: network)
    let result = try benchmark.run(network)
    return JSONObject([
      ("decode_tokens_per_second", .number(result.decodeTokensPerSecond)),
      ("prompt_tokens_per_second", .number(result.promptTokensPerSecond)),
      ("weight_bytes", .integer(network.weightByteCount)),
      ("peak_bytes", .integer(ProcessMemory.peakResidentByteCount)),
    ])
  }
}
