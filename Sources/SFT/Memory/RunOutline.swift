// A run before it begins: everything that its memory and its time depend on.

public import QwenModel
public import Tensor

/// What a run will be made of. No weight has been read.
public struct RunOutline: Sendable {
  /// The folder of the base model.
  public var modelDirectory: String
  /// How its weights will be taken up.
  public var weights: WeightOptions
  /// The type of the arithmetic; nil for that of the weights.
  public var computesInBFloat16: Bool
  /// The folder of the adapter to start from, nil for a fresh one.
  public var adapterDirectory: String?
  /// The settings.
  public var config: TrainingConfig
  /// The rows to train on, and those to evaluate on.
  public var rows, evaluationRows: [EncodedRow]
  /// What the model answers on the way, if anything.
  public var sampler: AnswerSampler?
  /// What it will be computed on.
  public var device: Device

  /// A run on the model in `modelDirectory`.
  public init(
    modelDirectory: String, weights: WeightOptions, computesInBFloat16: Bool = false,
    adapterDirectory: String? = nil, config: TrainingConfig, rows: [EncodedRow],
    evaluationRows: [EncodedRow] = [], sampler: AnswerSampler? = nil, on device: Device = .cpu
  ) {
    self.modelDirectory = modelDirectory
    self.weights = weights
    self.computesInBFloat16 = computesInBFloat16
    self.adapterDirectory = adapterDirectory
    self.config = config
    self.rows = rows
    self.evaluationRows = evaluationRows
    self.sampler = sampler
    self.device = device
  }

  /// What goes through the model together.
  package var units: [[Int]] { RowPacking.units(of: rows, config: config) }

  /// The micro-batches of the run by steps, as indices of rows; the first `limit`.
  package func microBatches(limit: Int) -> [[[Int]]] {
    let units = units
    return BatchPlan(rowCount: units.count, config: config).microBatches(of: units, limit: limit)
  }

  /// Optimizer steps of the run.
  package var totalSteps: Int { BatchPlan(rowCount: units.count, config: config).totalSteps }

  /// Optimizer steps of an epoch.
  package var stepsPerEpoch: Int { BatchPlan(rowCount: units.count, config: config).stepsPerEpoch }

  /// The size of the micro-batch of the rows `indices`.
  package func size(_ indices: [Int]) -> BatchSize { BatchSize(indices.map { rows[$0] }) }

  /// The micro-batches of a run that are looked at to find its largest one.
  package static let microBatchLimit = 1 << 16
}
