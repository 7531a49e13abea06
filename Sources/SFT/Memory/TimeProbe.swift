// How long a run will take, from one block of the model's shape that is run here and now. The model itself is not loaded.

import Autograd
import NN
import OrderedJSON
import QwenModel
public import Tensor

/// Measures one block, the head and the optimizer, and adds up.
public struct TimeProbe {
  private let run: RunOutline
  private let plan: MemoryPlan
  private let config: QwenConfig
  private let device: Device
  private let clock = ContinuousClock()
  /// A few blocks, with weights of the run's kind and adapters.
  private let model: QwenModel
  private let rotary: RotaryTable

  /// Rows of the head that are multiplied in place of all: the time is proportional.
  private static let headRows = 32_768
  /// Bytes of float32 weights that the blocks have together, so that none is found in a cache; and how many blocks at most.
  private static let (blockBytes, mostBlocks) = (96 << 20, 8)
  /// Shares of the micro-batches, in the order of their lengths, at which one is measured.
  private static let quantiles = [0.1, 0.5, 0.9, 1.0]

  /// A probe for `run`, of which `plan` knows what blocks keep.
  ///
  /// - Throws: what reading config.json or attaching the adapter throws.
  public init(_ run: RunOutline, _ plan: MemoryPlan, on device: Device = .cpu) throws {
    (self.run, self.plan, self.device) = (run, plan, device)
    config = try QwenConfig(directory: run.modelDirectory)
    rotary = RotaryTable(headDim: config.headDim, theta: config.ropeTheta)
    let numbers = QwenModel(config.resized(layers: 1, vocabulary: 1)).namedParameters()
      .reduce(0) { $0 + $1.parameter.shape.count }
    let count = (Self.blockBytes + 4 * numbers - 1) / (4 * numbers)
    model = QwenModel(
      config.resized(
        layers: min(count, Self.mostBlocks, config.numHiddenLayers), vocabulary: 1))
    try fill()
  }

  private var isQuantized: Bool { run.weights.quantization != nil || config.isQuantized }

  private var computeDType: DType { run.computesInBFloat16 ? .bfloat16 : run.weights.dtype }

  /// The type in which large weights are kept that are not quantized.
  private var matrixDType: DType {
    let keepsBFloat16 =
      (isQuantized || run.weights.keepsBFloat16) && run.weights.dtype == .float32
      && config.dtypeName == "bfloat16"
    return keepsBFloat16 ? .bfloat16 : run.weights.dtype
  }

  /// Random weights of the run's kind.
  private func fill() throws {
    for (index, (key, parameter)) in model.namedParameters().enumerated() {
      let stream = RandomStream(seed: 0, purpose: .test, index: index)
      let value = Tensor.normal(
        parameter.shape, standardDeviation: 0.02, dtype: .float32, stream: stream, on: device)
      parameter.value =
        key.contains("norm")
        ? Tensor.full(parameter.shape, 1, dtype: run.weights.dtype, on: device)
        : value.cast(to: parameter.shape.rank == 2 ? matrixDType : run.weights.dtype)
    }
    if isQuantized {
      let format = run.weights.quantization ?? QuantizedTensor.Format()
      for (_, linear) in model.model.namedLinears() {
        linear.quantize(to: QuantizedTensor(quantizing: linear.weight.value, as: format))
      }
    }
    guard var lora = run.config.lora else { return model.setTrainable(true) }
    if let folder = run.adapterDirectory {
      let adapter = try AdapterConfig(directory: folder)
      lora.rank = adapter.rank
      lora.useDoRA = adapter.useDoRA
      // A pattern in place of names is rare: then all maps of a block count.
      lora.targets =
        adapter.targetModules.arrayValue.map { .names($0.compactMap(\.stringValue)) } ?? .allLinear
    }
    // Patterns may name layers that are not here.
    lora.layersToTransform = nil
    lora.rankPattern = ModuleValues()
    lora.alphaPattern = ModuleValues()
    if case .names(let names) = lora.targets {
      let paths = model.namedLinears().map(\.path)
      let known = names.filter { name in paths.contains { LoRAConfig.matches($0, name) } }
      lora.targets = known.isEmpty ? LoRAConfig.defaults.targets : .names(known)
    }
    try model.injectLoRA(lora)
    try model.initializeAdapters(seed: 0, on: device)
  }

  /// Measures for some seconds and adds up.
  public func estimate() throws -> TimeEstimate {
    let start = clock.now
    let steps = run.microBatches(limit: 4096)
    let micros = steps.joined().map { (rows: $0, size: run.size($0)) }
    let points = try measured(micros.map(\.rows))
    let headSeconds = try secondsOfHead(micros.map(\.size.trained).max() ?? 1)
    let layers = Double(config.numHiddenLayers)
    var seconds = try secondsOfUpdate() * Double(steps.count)
    for (_, size) in micros {
      let choice = plan.checkpointing(for: size)
      let whole = Double(min(choice.wholeBlockCount, config.numHiddenLayers))
      let products = min(Double(choice.productBlockCount), layers - whole)
      let rest: Kind = choice.keepsHalves ? .halves : .input
      for (count, kind) in [
        (whole, .everything), (products, .products), (layers - whole - products, rest),
      ] where count > 0 {
        seconds += count * points.seconds(kind, tokens: size.tokens)
      }
      seconds += headSeconds(size.trained)
    }
    // What was looked at stands for the whole run.
    let share = Double(run.totalSteps) / Double(max(1, steps.count))
    let tokens = Double(micros.reduce(0) { $0 + $1.size.tokens })
    return TimeEstimate(
      trainingSeconds: seconds * share,
      evaluationSeconds: evaluationCount == 0
        ? 0 : try secondsOfEvaluation(points) * Double(evaluationCount),
      tokensPerSecond: tokens / max(seconds, 1e-9),
      probeSeconds: (clock.now - start).inSeconds)
  }

  private var evaluationCount: Int {
    let interval = run.config.evaluationInterval.steps(of: run.totalSteps)
    switch run.config.evalStrategy {
    case .no: return 0
    case .steps: return (run.totalSteps + interval - 1) / interval
    case .epoch: return (run.totalSteps + run.stepsPerEpoch - 1) / run.stepsPerEpoch
    }
  }

  /// Seconds of one evaluation.
  private func secondsOfEvaluation(_ points: Points) throws -> Double {
    let rows = run.evaluationRows.filter { $0.trainedTokenCount > 0 }
    let tokens = rows.reduce(0) { $0 + $1.inputIDs.count }
    let trained = rows.reduce(0) { $0 + $1.trainedTokenCount }
    let block = points.seconds(.inference, tokens: 1024) / 1024 * Double(tokens)
    // As many rows of the head at a time as an average pass has.
    let passes = max(1, tokens / 1024)
    let head = try secondsOfHead(trained / passes, isInference: true)
    return block * Double(config.numHiddenLayers) + head(trained)
  }

  /// Ways through a block.
  private enum Kind: Hashable { case everything, products, halves, input, inference }

  /// Seconds of a block by the tokens of a micro-batch.
  private struct Points {
    var values: [Kind: [(tokens: Int, seconds: Double)]] = [:]

    /// On the straight lines between what was measured; beyond the ends proportional to the tokens.
    func seconds(_ kind: Kind, tokens: Int) -> Double {
      guard let points = values[kind], let first = points.first, let last = points.last else {
        return 0
      }
      if tokens <= first.tokens { return first.seconds * Double(tokens) / Double(first.tokens) }
      if tokens >= last.tokens { return last.seconds * Double(tokens) / Double(last.tokens) }
      for (a, b) in zip(points, points.dropFirst()) where tokens <= b.tokens {
        let share = Double(tokens - a.tokens) / Double(b.tokens - a.tokens)
        return a.seconds + share * (b.seconds - a.seconds)
      }
      return last.seconds
    }
  }

  /// The block's times at some lengths.
  private func measured(_ micros: [[Int]]) throws -> Points {
    let sorted = micros.sorted { run.size($0).tokens < run.size($1).tokens }
    var points = Points()
    var last = 0
    for quantile in Self.quantiles {
      guard !sorted.isEmpty else { break }
      let micro = sorted[min(sorted.count - 1, Int(quantile * Double(sorted.count)))]
      let size = run.size(micro)
      guard size.tokens > last else { continue }
      last = size.tokens
      var kinds: Set<Kind> = run.config.evalStrategy == .no ? [] : [.inference]
      for choice in Set(plan.choices.values).union([plan.checkpointing]) {
        if choice.wholeBlockCount > 0 { kinds.insert(.everything) }
        let layers = config.numHiddenLayers
        if choice.productBlockCount > 0 && choice.wholeBlockCount < layers {
          kinds.insert(.products)
        }
        if choice.wholeBlockCount < layers - choice.productBlockCount {
          kinds.insert(choice.keepsHalves ? .halves : .input)
        }
      }
      for kind in kinds {
        points.values[kind, default: []].append((size.tokens, try secondsOfBlock(micro, kind)))
      }
    }
    return points
  }

  /// Seconds of forward and backward of one block.
  private func secondsOfBlock(_ micro: [Int], _ kind: Kind) throws -> Double {
    let documents = micro.map { [Int32](repeating: 0, count: run.rows[$0].inputIDs.count) }
    let batch = TokenBatch(documents, on: device)
    let shape: Shape = [batch.count, config.hiddenSize]
    func random(_ index: Int) -> Tensor {
      Tensor.normal(
        shape, dtype: computeDType, stream: RandomStream(seed: 1, purpose: .test, index: index),
        on: device)
    }
    let (x, dy) = (random(0), random(1))
    let (cos, sin) = rotary.tables(positions: batch.positionCount, dtype: computeDType, like: x)
    let context = AttentionContext(
      cos: cos, sin: sin, positions: batch.positions, documents: batch.documents)
    let layers = model.model.layers.elements
    var next = 0
    return try mean(atLeast: layers.count) {
      let layer = layers[next % layers.count]
      next += 1
      if kind == .inference {
        _ = layer(Tape(mode: .inference).constant(x), context)
        return
      }
      let tape = Tape(randomness: Randomness(seed: 0, pass: 0))
      let input = tape.input(x)
      let y: Variable
      switch kind {
      case .everything, .inference: y = layer(input, context)
      case .products: y = checkpoint(input, keepsProducts: true) { layer($0, context) }
      case .input: y = checkpoint(input) { layer($0, context) }
      case .halves:
        y = checkpoint(checkpoint(input) { layer.attending($0, context) }) { layer.expanding($0) }
      }
      tape.backward(from: y, seed: dy)
    }
  }

  /// Seconds of head and loss by the number of trained tokens, of which `largest` go through together.
  private func secondsOfHead(_ largest: Int, isInference: Bool = false) throws -> (Int) -> Double {
    let vocabulary = min(config.vocabSize, Self.headRows)
    // Logits of so many rows exist at a time.
    let chunk = min(
      device.backend.lossRows(vocabulary: config.vocabSize, computeDType), max(largest, 1))
    let weight = Parameter(
      shape: [vocabulary, config.hiddenSize], isTrainable: run.config.lora == nil)
    weight.value = Tensor.normal(
      weight.shape, standardDeviation: 0.02, dtype: matrixDType,
      stream: RandomStream(seed: 2, purpose: .test), on: device)
    let hidden = Tensor.normal(
      [chunk, config.hiddenSize], dtype: computeDType,
      stream: RandomStream(seed: 3, purpose: .test), on: device)
    let rows = Tensor((0..<chunk).map { Int32($0) }, on: device)
    let targets = Tensor([Int32](repeating: 0, count: chunk), on: device)
    let seconds = try mean {
      let tape = isInference ? Tape(mode: .inference) : Tape()
      let (loss, _) = linearCrossEntropy(
        hidden: isInference ? tape.constant(hidden) : tape.input(hidden), weight: tape.leaf(weight),
        rows: rows, targets: targets,
        scale: 1)
      if !isInference { tape.backward(from: loss) }
    }
    let perToken = seconds / Double(chunk) * Double(config.vocabSize) / Double(vocabulary)
    return { perToken * Double($0) }
  }

  /// Seconds of clipping and of the optimizer's step over all that is trained.
  private func secondsOfUpdate() throws -> Double {
    let in8Bits = plan.trained8BitParameterCount
    return try secondsOfUpdate(of: in8Bits, in8Bits: true)
      + secondsOfUpdate(of: plan.trainedParameterCount - in8Bits, in8Bits: false)
  }

  /// Seconds of `count` numbers whose moments are of one kind: a number with moments in 8 bits takes several times as long.
  private func secondsOfUpdate(of count: Int, in8Bits: Bool) throws -> Double {
    guard count > 0 else { return 0 }
    let trained = model.trainableParameters().filter { !$0.key.contains("embed_tokens") }
    let alike = trained.filter {
      run.config.optim.keeps8Bits(key: $0.key, count: $0.parameter.shape.count) == in8Bits
    }
    func numbers(_ parameters: [(key: String, parameter: Parameter)]) -> Int {
      parameters.reduce(0) { $0 + $1.parameter.shape.count }
    }
    // A few norms of a block tell nothing of an embedding: then the block's maps stand for it.
    let parameters = numbers(alike) >= numbers(trained) / 16 ? alike : trained
    let optimizer = AdamW(
      parameters, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0,
      kind: in8Bits ? .adamw8Bit : .adamw)
    let seconds = try mean {
      // Hardly smaller: gradients that shrink to nothing would take other times.
      let norm = try optimizer.gradientNorm()
      optimizer.clip(norm: norm, maximum: 0.999 * norm)
      optimizer.step(learningRate: 0)
    }
    return seconds * Double(count) / Double(max(1, numbers(parameters)))
  }

  /// The mean time of `body` after a first run, which makes kernels and takes memory.
  private func mean(atLeast least: Int = 1, _ body: () throws -> Void) throws -> Double {
    try body()
    try device.synchronize()
    let start = clock.now
    var count = 0
    repeat {
      try body()
      try device.synchronize()
      count += 1
    } while count < max(5, least) && (clock.now - start).inSeconds < 0.5
    return (clock.now - start).inSeconds / Double(count)
  }
}
