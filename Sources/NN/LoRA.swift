// Low-rank adapters (Hu et al. 2022), with PEFT's names, shapes and initial values.

public import Autograd
public import Tensor

/// The low-rank part of a linear map: s·(drop(x)·Aᵀ)·Bᵀ.
public final class LoRAAdapter: Module {
  /// [R, in].
  public let loraA: Parameter
  /// [out, R].
  public let loraB: Parameter
  /// The factor s: alpha / rank, or alpha / √rank with rsLoRA.
  public let scale: Double
  /// Probability with which an element of the input is dropped in training.
  public let dropoutProbability: Double
  private let index: Int

  /// Declares an adapter without values. `index` tells the random numbers of one module from another's.
  public init(
    inputSize: Int, outputSize: Int, rank: Int, scale: Double, dropout: Double, index: Int
  ) {
    loraA = Parameter(shape: [rank, inputSize])
    loraB = Parameter(shape: [outputSize, rank])
    self.scale = scale
    dropoutProbability = dropout
    self.index = index
  }

  public var children: KeyValuePairs<String, any ModuleNode> {
    ["lora_A.weight": loraA, "lora_B.weight": loraB]
  }

  /// The rank R.
  public var rank: Int { loraA.shape[0] }

  /// A uniform in ±1/√in (Kaiming with a = √5), B zero: training starts at the base model.
  public func initialize(seed: UInt64, on device: Device) {
    let bound = 1 / Double(loraA.shape[1]).squareRoot()
    loraA.value = Tensor.uniform(
      loraA.shape, low: -bound, high: bound,
      stream: RandomStream(seed: seed, purpose: .initialization, index: index), on: device)
    loraB.value = Tensor.zeros(loraB.shape, on: device)
  }

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
  }

  /// The factor s.
  public var scale: Double {
    alpha / (useRSLoRA ? Double(rank).squareRoot() : Double(rank))
  }
}

/// Adapters that cannot be attached.
public enum LoRAError: Error, Sendable, CustomStringConvertible {
  /// A target names no linear map of the model.
  case unmatchedTarget(name: String, available: [String])
  /// A setting that makes no sense.
  case invalid(setting: String, value: String, expected: String)

  public var description: String {
    switch self {
    case .unmatchedTarget(let name, let available):
      "target module \"\(name)\" matches no linear map of the model (there are: \(available.joined(separator: ", ")))"
    case .invalid(let setting, let value, let expected):
      "\(setting) is \(value), expected \(expected)"
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
      for name in names where !linears.contains(where: { matches($0.path, name) }) {
        let lastParts = linears.map { $0.path.split(separator: ".").last.map { String($0) } ?? "" }
        throw .unmatchedTarget(name: name, available: Array(Set(lastParts)).sorted())
      }
    }
    setTrainable(false)
    var touched: [String] = []
    for (index, (path, linear)) in linears.enumerated() {
      let isTarget =
        switch config.targets {
        case .names(let names): names.contains { matches(path, $0) }
        case .allLinear: !matches(path, "lm_head")
        }
      guard isTarget else { continue }
      linear.adapter = LoRAAdapter(
        inputSize: linear.inputSize, outputSize: linear.outputSize, rank: config.rank,
        scale: config.scale, dropout: config.dropout, index: index)
      touched.append(path)
    }
    return touched
  }

  private func matches(_ path: String, _ name: String) -> Bool {
    path == name || path.hasSuffix("." + name)
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
