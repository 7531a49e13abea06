// Low-rank adapters (Hu et al. 2022), with PEFT's names, shapes and initial values.

public import Autograd
public import Tensor

/// The low-rank part of a linear map: s·(drop(x)·Aᵀ)·Bᵀ.
public final class LoRAAdapter: Module {
  /// [R, in].
  public let loraA: Parameter
  /// [out, R].
  public let loraB: Parameter
  /// The length of every row of the adapted weight, [out]; nil unless the adapter is weight-decomposed (DoRA).
  public let magnitude: Parameter?
  /// A and B as they were when their product was taken out of the base weight (PiSSA, OLoRA); nil where it was not.
  public internal(set) var initialFactors: (a: Tensor, b: Tensor)?
  /// The factor s: alpha / rank, or alpha / √rank with rsLoRA.
  public let scale: Double
  /// Probability with which an element of the input is dropped in training.
  public let dropoutProbability: Double
  let index: Int
  /// The norms of the adapted rows and the versions of what they were computed from.
  var rowNorms = RowNorms()

  /// Declares an adapter without values. `index` tells the random numbers of one module from another's.
  public init(
    inputSize: Int, outputSize: Int, rank: Int, scale: Double, dropout: Double, index: Int,
    useDoRA: Bool = false
  ) {
    loraA = Parameter(shape: [rank, inputSize])
    loraB = Parameter(shape: [outputSize, rank])
    magnitude = useDoRA ? Parameter(shape: [outputSize]) : nil
    self.scale = scale
    dropoutProbability = dropout
    self.index = index
  }

  public var children: KeyValuePairs<String, any ModuleNode> {
    guard let magnitude else { return ["lora_A.weight": loraA, "lora_B.weight": loraB] }
    return [
      "lora_A.weight": loraA, "lora_B.weight": loraB, "lora_magnitude_vector": magnitude,
    ]
  }

  /// The rank R.
  public var rank: Int { loraA.shape[0] }

  func dropout(on tape: Tape) -> (probability: Double, stream: RandomStream)? {
    guard dropoutProbability > 0, let randomness = tape.randomness else { return nil }
    return (dropoutProbability, randomness.dropout(module: index))
  }
}

/// Which linear maps get an adapter, and what kind.
public struct LoRAConfig: Sendable, Hashable {
  /// Which maps.
  public enum Targets: Sendable, Hashable {
    /// Paths that equal a name or end in "." and a name.
    case names([String])
    /// Every linear map but the head.
    case allLinear
  }

  /// The rank R.
  public var rank: Int
  /// The numerator of the factor s.
  public var alpha: Double
  /// Probability with which an element of an adapter's input is dropped in training.
  public var dropout: Double
  /// Which maps get an adapter.
  public var targets: Targets
  /// Scale by alpha / √rank instead of alpha / rank.
  public var useRSLoRA: Bool
  /// Train the length of every row of the adapted weight apart from its direction (Liu et al. 2024).
  public var useDoRA = false
  /// The values that an adapter starts with.
  public var initialization = LoRAInitialization.kaimingUniform
  /// Ranks that differ from `rank`.
  public var rankPattern = ModuleValues<Int>()
  /// Alphas that differ from `alpha`.
  public var alphaPattern = ModuleValues<Double>()
  /// The numbers of the layers that get adapters; nil for all.
  public var layersToTransform: [Int]?

  /// The seven projections of a Qwen block.
  public static let defaultTargets = [
    "q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj",
  ]

  /// The settings without any choice made: the one place where the defaults stand.
  public static let defaults = LoRAConfig()

  /// PEFT's settings; the defaults are those of the command line.
  public init(
    rank: Int = 16, alpha: Double = 32, dropout: Double = 0.05,
    targets: Targets = .names(LoRAConfig.defaultTargets), useRSLoRA: Bool = false
  ) {
    self.rank = rank
    self.alpha = alpha
    self.dropout = dropout
    self.targets = targets
    self.useRSLoRA = useRSLoRA
  }

  /// Throws when a setting is out of range.
  public func validate() throws(LoRAError) {
    guard rank > 0, rank <= 65_536 else {
      throw .invalid(setting: "lora_r", value: "\(rank)", expected: "1 to 65536")
    }
    guard dropout >= 0, dropout < 1 else {
      throw .invalid(setting: "lora_dropout", value: "\(dropout)", expected: "0 to below 1")
    }
    guard alpha.isFinite else {
      throw .invalid(setting: "lora_alpha", value: "\(alpha)", expected: "a finite number")
    }
    for entry in rankPattern.entries where !(1...65_536).contains(entry.value) {
      throw .invalid(
        setting: "rank_pattern", value: "\(entry.value)", expected: "ranks from 1 to 65536")
    }
    for entry in alphaPattern.entries where !entry.value.isFinite {
      throw .invalid(setting: "alpha_pattern", value: "\(entry.value)", expected: "finite numbers")
    }
    if let layersToTransform,
      layersToTransform.isEmpty || layersToTransform.contains(where: { $0 < 0 })
    {
      throw .invalid(
        setting: "layers_to_transform", value: "\(layersToTransform)",
        expected: "numbers of layers from 0")
    }
  }

  /// The factor s of the modules that no pattern names.
  public var scale: Double { LoRAConfig.scale(alpha: alpha, rank: rank, useRSLoRA: useRSLoRA) }

  /// The factor s: alpha / rank, or alpha / √rank with rsLoRA.
  public static func scale(alpha: Double, rank: Int, useRSLoRA: Bool) -> Double {
    alpha / (useRSLoRA ? Double(rank).squareRoot() : Double(rank))
  }

  /// The rank of the module at `path`.
  public func rank(of path: String) -> Int { rankPattern.value(for: path) ?? rank }

  /// The factor s of the module at `path`.
  public func scale(of path: String) -> Double {
    LoRAConfig.scale(
      alpha: alphaPattern.value(for: path) ?? alpha, rank: rank(of: path), useRSLoRA: useRSLoRA)
  }

  /// Whether the linear map at `path` gets an adapter.
  func isTarget(_ path: String) -> Bool {
    switch targets {
    case .names(let names):
      // PEFT: a name that is the whole path is taken whatever its layer.
      names.contains(path)
        || names.contains { LoRAConfig.matches(path, $0) } && isInTransformedLayer(path)
    case .allLinear: !LoRAConfig.matches(path, "lm_head") && isInTransformedLayer(path)
    }
  }

  /// Whether `path` is `name` or ends in it, whole parts alone counting.
  package static func matches(_ path: String, _ name: String) -> Bool {
    path == name || path.hasSuffix("." + name)
  }

  /// The layer is the first number in the path that has two names before it, as in `model.layers.3.mlp`.
  private func isInTransformedLayer(_ path: String) -> Bool {
    guard let layersToTransform else { return true }
    let number = path.split(separator: ".").dropFirst(2).dropLast().lazy.compactMap { Int($0) }
      .first
    return number.map { layersToTransform.contains($0) } ?? false
  }
}

/// Adapters that cannot be attached.
public enum LoRAError: Error, Sendable, CustomStringConvertible {
  /// A target names no linear map of the model.
  case unmatchedTarget(name: String, available: [String])
  /// A setting that makes no sense.
  case invalid(setting: String, value: String, expected: String)
  /// A pattern, or the choice of layers, takes in no adapted module.
  case unmatched(setting: String, value: String)
  /// A weight cannot be factored.
  case factorization(module: String, problem: String)

  public var description: String {
    switch self {
    case .unmatchedTarget(let name, let available):
      "target module \"\(name)\" matches no linear map of the model (there are: \(available.joined(separator: ", ")))"
    case .invalid(let setting, let value, let expected):
      "\(setting) is \(value), expected \(expected)"
    case .unmatched(let setting, let value):
      "\(setting): \(value) takes in none of the modules that get an adapter"
    case .factorization(let module, let problem): "\(module): \(problem)"
    }
  }
}

extension Module {
  /// Attaches adapters without values to every linear map that matches, freezes everything else, and returns the
  /// paths touched.
  @discardableResult
  public func injectLoRA(_ config: LoRAConfig) throws(LoRAError) -> [String] {
    try config.validate()
    let linears = namedLinears()
    if case .names(let names) = config.targets {
      for name in names where !linears.contains(where: { LoRAConfig.matches($0.path, name) }) {
        let lastParts = linears.map { $0.path.split(separator: ".").last.map { String($0) } ?? "" }
        throw .unmatchedTarget(name: name, available: Array(Set(lastParts)).sorted())
      }
    }
    setTrainable(false)
    var touched: [String] = []
    for (index, (path, linear)) in linears.enumerated() where config.isTarget(path) {
      linear.adapter = LoRAAdapter(
        inputSize: linear.inputSize, outputSize: linear.outputSize, rank: config.rank(of: path),
        scale: config.scale(of: path), dropout: config.dropout, index: index,
        useDoRA: config.useDoRA)
      touched.append(path)
    }
    try requireMatches(config, touched)
    return touched
  }

  /// Patterns and layers that name nothing are mistakes.
  private func requireMatches(_ config: LoRAConfig, _ paths: [String]) throws(LoRAError) {
    for layer in config.layersToTransform ?? [] {
      let part = ".\(layer)."
      guard paths.contains(where: { $0.contains(part) }) else {
        throw .unmatched(setting: "layers_to_transform", value: "layer \(layer)")
      }
    }
    for (setting, patterns) in [
      ("rank_pattern", config.rankPattern.entries.map(\.pattern)),
      ("alpha_pattern", config.alphaPattern.entries.map(\.pattern)),
    ] {
      for pattern in patterns where !paths.contains(where: { pattern.matches($0) }) {
        throw .unmatched(setting: setting, value: pattern.source.debugDescription)
      }
    }
  }

  /// Every adapter with the path of its linear map.
  public func namedAdapters() -> [(path: String, adapter: LoRAAdapter)] {
    namedLinears().compactMap { path, linear in linear.adapter.map { (path, $0) } }
  }

  /// Lets adapters take part or not, leaving them in place.
  public func setAdaptersEnabled(_ isEnabled: Bool) {
    for (_, linear) in namedLinears() { linear.isAdapterEnabled = isEnabled }
  }

  /// Everything that training changes, adapters included, with PEFT's or the checkpoint's key.
  public func trainableParameters() -> [(key: String, parameter: Parameter)] {
    var result = namedParameters().filter(\.parameter.isTrainable)
    for (path, adapter) in namedAdapters() {
      for (name, node) in adapter.children {
        if let parameter = node as? Parameter, parameter.isTrainable {
          result.append((path + "." + name, parameter))
        }
      }
    }
    return result
  }
}
