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
