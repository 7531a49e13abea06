// The settings of fresh adapters.

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
