// A run with its data, counted and not begun.

import QwenModel
import SFT
import Safetensors
import Tensor

/// What is known of a run before a weight is loaded.
struct PlannedRun {
  /// Where model and data are, and how they are read.
  struct Input {
    let folder: String
    let adapterFolder: String?
    let paths: [String]
    let evaluationPaths: [String]
    let samplePrompts: String?
    let format: DataFormat
    let encoding: EncodingOptions
    var precision: PrecisionOptions
    let device: Device
  }

  /// Encoded rows, and what became of the others.
  struct Rows {
    var training, evaluation: [EncodedRow]
    let report: ConversationEncoder.Report
    /// The prompts that are answered on the way, if any.
    let sampler: AnswerSampler?

    /// Reads and encodes the data of `input`.
    init(_ input: Input, config: TrainingConfig) throws {
      let encoder = try input.encoding.encoder(folder: input.folder)
      let (all, report) = try TrainingData.rows(
        encoder, paths: input.paths, format: input.format, encoding: input.encoding,
        config: config)
      (training, evaluation) = try ValidationSplit.split(
        all, size: config.valSize, seed: config.seed)
      self.report = report
      sampler = try input.samplePrompts.map {
        try Questions.sampler(in: $0, folder: input.folder, encoder: encoder)
      }
      if !input.evaluationPaths.isEmpty {
        evaluation = try TrainingData.rows(
          encoder, paths: input.evaluationPaths, format: input.format,
          encoding: input.encoding, config: config
        ).rows
      }
    }
  }

  /// The run.
  let outline: RunOutline
  /// Its memory.
  let memory: MemoryPlan
  /// Its data.
  let rows: Rows
  /// The architecture.
  let model: QwenConfig

  /// Goes through the run on `rows` beside `programByteCount` bytes of program, tokenizer and data.
  init(
    _ input: Input, rows: Rows, config: TrainingConfig, programByteCount: Int,
    isQuick: Bool = false
  ) throws {
    model = try QwenConfig(directory: input.folder)
    if config.lora == nil && model.isQuantized {
      throw CLIError.argument(
        option: "full", problem: "the model is quantized: weights in 4 bits cannot be trained")
    }
    let isBFloat16 = Session.computesInBFloat16(input.precision, on: input.device)
    outline = RunOutline(
      modelDirectory: input.folder,
      weights: try Session.weights(
        input.precision, for: Session.use(config, on: input.device),
        computesInBFloat16: isBFloat16),
      computesInBFloat16: isBFloat16, adapterDirectory: input.adapterFolder,
      config: config, rows: rows.training, evaluationRows: rows.evaluation,
      sampler: rows.sampler, on: input.device)
    memory = try MemoryPlan(outline, programByteCount: programByteCount, isQuick: isQuick)
    self.rows = rows
  }
}
