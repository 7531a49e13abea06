// Weights from a checkpoint directory. All missing, unexpected and mis-shaped tensors are found before the first
// byte of a weight is read.

import Autograd
import Files
import NN
public import Safetensors
public import Tensor

/// How the weights of a checkpoint are taken up.
public struct WeightOptions: Sendable {
  /// The type of dense weights, and of the arithmetic where others are kept in fewer bits.
  public var dtype = DType.float32
  /// Whether matrices that the checkpoint has in bfloat16 stay so where `dtype` is float32: half the memory, and the same
  /// numbers, as they are widened where they are multiplied. Not for weights that will be trained themselves.
  public var keepsBFloat16 = false
  /// Where dense weights are kept.
  public var placement = Checkpoint.Placement.mapped
  /// Whether the linear maps of the blocks that would be kept in bfloat16 are compressed to 12 bits an element, in memory of their own. Decoding is
  /// faster, and not a bit of any result is another; parameters are frozen. Where a device does not compress, matrices are kept as ever.
  public var compressesBFloat16 = false
  /// Whether compressed matrices are multiplied by many rows, as in training, rather than by a few.
  public var multipliesManyRows = false
  /// How the linear maps of the blocks are quantized; nil leaves them as they are. A checkpoint that is quantized
  /// already stays so in either case.
  public var quantization: QuantizedTensor.Format?
  /// Where quantized weights are kept for the next time; nil keeps none.
  public var cache: WeightsCache?
  /// Whether only sizes are wanted, on a ``SizingBackend``: the cache is neither checked nor written.
  package var isRehearsal = false
  /// Gets what the user should know.
  public var notice: @Sendable (String) -> Void = { _ in }

  /// Dense weights, computed with in float32.
  public init() {}
}

extension QwenModel {
  /// Reads the configuration and the weights of a model directory in Hugging Face layout.
  ///
  /// float32, float16 and bfloat16 files are converted to `dtype`; weights that have it already are used where they
  /// lie or copied, as `placement` says. A bitsandbytes checkpoint in NF4 stays in 4 bits.
  public static func load(
    directory: String, dtype: DType = .float32, placement: Checkpoint.Placement = .mapped,
    on device: Device = .cpu
  ) throws(ModelError) -> QwenModel {
    var options = WeightOptions()
    options.dtype = dtype
    options.placement = placement
    return try load(directory: directory, options: options, on: device)
  }

  /// The same, with a say in how weights are kept.
  public static func load(
    directory: String, options: WeightOptions, on device: Device = .cpu
  ) throws(ModelError) -> QwenModel {
    let stated = try QwenConfig(directory: directory)
    let (checkpoint, config): (Checkpoint, QwenConfig)
    do {
      checkpoint = try Checkpoint(folder: directory)
      config = try stated.untyingDifferentHead(in: checkpoint)
    } catch { throw .checkpoint(error) }
    if config.tieWordEmbeddings != stated.tieWordEmbeddings {
      options.notice(
        "config.json ties lm_head to the embedding, but the checkpoint has two different matrices: both are used"
      )
    }
    let model = QwenModel(config)
    try model.load(checkpoint, options: options, on: device)
    return model
  }

  /// Gives every parameter its value from a checkpoint.
  public func load(
    _ checkpoint: Checkpoint, dtype: DType = .float32, placement: Checkpoint.Placement = .mapped,
    on device: Device = .cpu
  ) throws(ModelError) {
    var options = WeightOptions()
    options.dtype = dtype
    options.placement = placement
    try load(checkpoint, options: options, on: device)
  }

  /// Gives every parameter its value from a checkpoint.
  public func load(_ checkpoint: Checkpoint, options: WeightOptions, on device: Device = .cpu)
    throws(ModelError)
  {
    let plan = try LoadingPlan(self, checkpoint, options)
    do throws(SafetensorsError) {
      try loadQuantized(plan, checkpoint, options, on: device)
      for (key, parameter) in plan.dense {
        let dtype = try plan.residentDType(
          stored: checkpoint.dtype(of: key), rank: parameter.shape.rank, options)
        if options.compressesBFloat16, dtype == .bfloat16, let linear = plan.linears[key] {
          let weight = try checkpoint.compressedTensor(
            key, forManyRows: options.multipliesManyRows, placement: options.placement, on: device)
          if case .narrow(let matrix) = weight {
            parameter.value = matrix
          } else {
            linear.pack(weight)
          }
        } else {
          parameter.value = try checkpoint.tensor(
            key, dtype: dtype, placement: options.placement, on: device)
        }
      }
    } catch { throw .checkpoint(error) }
    if plan.isQuantized || options.keepsBFloat16 || options.compressesBFloat16 {
      setTrainable(false)
      computeDType = options.dtype
      for (_, linear) in namedLinears() { linear.changedDType = options.dtype }
    }
  }

  /// The keys of a checkpoint that fits the model: what stays as it is, and what can be quantized.
  package func weights(in checkpoint: Checkpoint) throws(ModelError) -> (
    dense: [String], linears: [String]
  ) {
    var options = WeightOptions()
    options.quantization = QuantizedTensor.Format()
    let plan = try LoadingPlan(self, checkpoint, options)
    return (plan.dense.map(\.key), plan.toQuantize.map(\.key))
  }

  /// The linear maps in 4 bits: from the checkpoint, from the cache, or quantized now.
  private func loadQuantized(
    _ plan: LoadingPlan, _ checkpoint: Checkpoint, _ options: WeightOptions, on device: Device
  ) throws(SafetensorsError) {
    for (key, linear) in plan.stored {
      linear.quantize(
        to: try checkpoint.nf4Tensor(key, shape: linear.weight.shape.dimensions, on: device))
    }
    guard let format = options.quantization, !plan.toQuantize.isEmpty else { return }
    let entry = options.cache.map { $0.entry(for: checkpoint, format: format) }
    let keys = plan.toQuantize.map { (key: $0.key, shape: $0.linear.weight.shape.dimensions) }
    switch entry?.read(keys, format: format, checksContent: !options.isRehearsal, on: device) {
    case .found(let tensors)?:
      for (tensor, (_, linear)) in zip(tensors, plan.toQuantize) { linear.quantize(to: tensor) }
      return
    case .damaged(let problem)?:
      options.notice("\(problem); the weights are quantized again")
    case .absent?, nil: break
    }
    for (key, linear) in plan.toQuantize {
      linear.quantize(to: try checkpoint.quantized(key, as: format, on: device))
    }
    let tensors = plan.toQuantize.compactMap { key, linear in
      linear.quantizedWeight.map { (key: key, tensor: $0) }
    }
    if !options.isRehearsal, let problem = entry?.write(tensors) {
      options.notice("the quantized weights cannot be kept for the next time: \(problem)")
    }
  }
}

/// Where each weight of a model comes from; throws when the checkpoint does not fit the model.
private struct LoadingPlan {
  /// Parameters that are loaded as they are.
  var dense: [(key: String, parameter: Parameter)] = []
  /// The linear maps of the blocks.
  let linears: [String: Linear]
  /// Linear maps that are quantized in the checkpoint.
  var stored: [(key: String, linear: Linear)] = []
  /// Linear maps that are to be quantized.
  var toQuantize: [(key: String, linear: Linear)] = []

  var isQuantized: Bool { !stored.isEmpty || !toQuantize.isEmpty }

  /// The type in which a weight is kept that the checkpoint has as `stored`: large ones keep their 16 bits.
  func residentDType(stored: SafetensorsDType, rank: Int, _ options: WeightOptions) -> DType {
    guard rank == 2 && options.dtype == .float32 else { return options.dtype }
    switch stored {
    case .bf16 where isQuantized || options.keepsBFloat16: return .bfloat16
    // There is no kernel for few rows of half precision: only the embedding and the head of quantized models stay in it.
    case .f16 where isQuantized: return .float16
    default: return .float32
    }
  }

  init(_ model: QwenModel, _ checkpoint: Checkpoint, _ options: WeightOptions) throws(ModelError) {
    linears = Dictionary(
      uniqueKeysWithValues: model.model.namedLinears().map {
        ("model." + $0.path + ".weight", $0.linear)
      })
    let parameters = model.namedParameters()
    var expected = Set(parameters.map(\.key))
    for (key, parameter) in parameters {
      if checkpoint.isNF4(key) {
        guard let linear = linears[key] else {
          throw .config(
            path: checkpoint.path,
            problem: "tensor \(key) is quantized, expected only linear maps of the blocks to be")
        }
        stored.append((key, linear))
        expected.formUnion(QuantizedKeys(key).companions)
      } else if let linear = linears[key], options.quantization != nil,
        !model.config.isQuantized
      {
        toQuantize.append((key, linear))
      } else {
        dense.append((key, parameter))
      }
    }
    try Self.checkKeys(model, checkpoint, parameters.map(\.key), expected: expected)
    for (key, parameter) in dense + toQuantize.map({ ($0.key, $0.linear.weight) }) {
      try Self.checkTensor(key, parameter.shape, checkpoint)
    }
  }

  private static func checkKeys(
    _ model: QwenModel, _ checkpoint: Checkpoint, _ needed: [String], expected: Set<String>
  ) throws(ModelError) {
    if let other = checkpoint.keys.first(where: { $0.contains(QuantizedKeys.stateInfix + "fp4") }) {
      throw .config(
        path: checkpoint.path,
        problem: "tensor \(other): weights in FP4 cannot be loaded (quantize to NF4)")
    }
    let missing = needed.filter { !checkpoint.contains($0) }
    let unexpected = checkpoint.keys.filter { key in
      // Tensors without a use: the second copy of a tied head, and buffers of old versions.
      !expected.contains(key) && !key.hasSuffix("rotary_emb.inv_freq")
        && !(model.config.tieWordEmbeddings && key == "lm_head.weight")
    }
    guard missing.isEmpty && unexpected.isEmpty else {
      throw .keys(path: checkpoint.path, missing: missing, unexpected: unexpected)
    }
  }

  private static func checkTensor(_ key: String, _ shape: Shape, _ checkpoint: Checkpoint)
    throws(ModelError)
  {
    let info: TensorInfo
    do { info = try checkpoint.info(of: key) } catch { throw .checkpoint(error) }
    guard info.shape == shape.dimensions else {
      throw .shape(
        path: checkpoint.path, key: key, expected: shape.dimensions, found: info.shape)
    }
    guard info.dtype.isFloatingPoint else {
      throw .dtype(path: checkpoint.path, key: key, found: info.dtype.rawValue)
    }
  }
}
