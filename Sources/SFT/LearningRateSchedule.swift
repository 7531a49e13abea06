// The learning rate over a run: transformers' schedules, by their names and formulas
// (transformers/optimization.py).

import Glibc

/// A factor of the peak learning rate for every step.
public struct LearningRateSchedule: Sendable, Hashable {
  /// The shapes.
  public enum Kind: String, Sendable, Hashable, CaseIterable {
    /// To 0 in a line or half a wave, the peak throughout, or by a power.
    case linear, cosine, constant, polynomial
    /// The peak, after warm-up.
    case constantWithWarmup = "constant_with_warmup"
    /// Waves that begin at the peak again.
    case cosineWithRestarts = "cosine_with_restarts"
    /// Half a wave to a rate above 0.
    case cosineWithMinLR = "cosine_with_min_lr"
    /// As 1/√step.
    case inverseSqrt = "inverse_sqrt"
    /// Up, level, down.
    case warmupStableDecay = "warmup_stable_decay"

    /// The coefficients that this shape has, by transformers' names.
    var coefficients: [String] {
      switch self {
      case .linear, .constant, .constantWithWarmup: []
      case .cosine, .cosineWithRestarts: ["num_cycles"]
      case .cosineWithMinLR: ["min_lr", "min_lr_rate", "num_cycles"]
      case .polynomial: ["lr_end", "power"]
      case .inverseSqrt: ["timescale"]
      case .warmupStableDecay:
        [
          "num_decay_steps", "num_stable_steps", "decay_type", "warmup_type", "min_lr_ratio",
          "num_cycles",
        ]
      }
    }

    /// What an error says of a coefficient that this shape does not have.
    package var expectedCoefficients: String {
      let names = coefficients
      return (names.isEmpty ? "no coefficients" : "one of " + names.joined(separator: ", "))
        + " with \(rawValue)"
    }
  }

  /// Coefficients that only some shapes have; nil means the shape's default.
  public struct Coefficients: Sendable, Hashable {
    /// Cosines: how often the wave goes down (½ for a plain cosine, 1 with restarts).
    public var numCycles: Double?
    /// The lowest rate, absolute (`cosine_with_min_lr`).
    public var minLR: Double?
    /// The lowest rate as a share of the peak (`cosine_with_min_lr`; `warmup_stable_decay`, as `min_lr_ratio`).
    public var minLRRate: Double?
    /// The last rate, absolute, and the exponent (`polynomial`).
    public var lrEnd: Double?
    /// The exponent (`polynomial`).
    public var power: Double?
    /// Steps of decay (`warmup_stable_decay`); nil for all that warm-up and the level part leave.
    public var numDecaySteps: Int?
    /// Steps at the peak (`warmup_stable_decay`); nil for what warm-up and decay leave.
    public var numStableSteps: Int?
    /// The shape of the decay (`warmup_stable_decay`).
    public var decayType: Slope?
    /// The shape of the warm-up (`warmup_stable_decay`).
    public var warmupType: Slope?
    /// τ of 1/√((t + shift)/τ) (`inverse_sqrt`).
    public var timescale: Double?

    /// The shape's defaults.
    public init() {}

    /// Throws for values out of range, and for coefficients that `kind` does not have.
    func validate(for kind: Kind) throws(TrainingError) {
      try requireCoefficients(of: kind)
      for (name, value) in [
        ("num_cycles", numCycles), ("min_lr", minLR), (rateName(of: kind), minLRRate),
        ("lr_end", lrEnd), ("power", power), ("timescale", timescale),
      ] {
        if let value, !value.isFinite || value < 0 {
          throw .invalidSetting(
            name: "lr_scheduler_kwargs.\(name)", value: "\(value)", expected: "0 or more")
        }
      }
      // A τ of 0 divides by zero, and an angle beyond all numbers has no cosine.
      if let timescale, timescale == 0 {
        throw .invalidSetting(
          name: "lr_scheduler_kwargs.timescale", value: "0", expected: "a number above 0")
      }
      if let numCycles, numCycles > 1e6 {
        throw .invalidSetting(
          name: "lr_scheduler_kwargs.num_cycles", value: "\(numCycles)", expected: "at most 1e6")
      }
      for (name, steps) in [
        ("num_decay_steps", numDecaySteps), ("num_stable_steps", numStableSteps),
      ] {
        if let steps, !(0...(1 << 53)).contains(steps) {
          throw .invalidSetting(
            name: "lr_scheduler_kwargs.\(name)", value: "\(steps)", expected: "0 or more")
        }
      }
    }

    /// transformers' name of `minLRRate` with a shape.
    private func rateName(of kind: Kind) -> String {
      kind == .warmupStableDecay ? "min_lr_ratio" : "min_lr_rate"
    }

    /// A coefficient of another shape would be passed over without a word. transformers refuses it as well, but for the constant schedules,
    /// with which it ignores all.
    private func requireCoefficients(of kind: Kind) throws(TrainingError) {
      let all: [(name: String, value: String?)] = [
        ("num_cycles", numCycles.map { "\($0)" }), ("min_lr", minLR.map { "\($0)" }),
        (rateName(of: kind), minLRRate.map { "\($0)" }),
        ("lr_end", lrEnd.map { "\($0)" }), ("power", power.map { "\($0)" }),
        ("timescale", timescale.map { "\($0)" }),
        ("num_decay_steps", numDecaySteps.map { "\($0)" }),
        ("num_stable_steps", numStableSteps.map { "\($0)" }),
        ("decay_type", decayType?.rawValue), ("warmup_type", warmupType?.rawValue),
      ]
      let known = kind.coefficients
      for (name, value) in all {
        guard let value, !known.contains(name) else { continue }
        throw .invalidSetting(
          name: "lr_scheduler_kwargs.\(name)", value: value, expected: kind.expectedCoefficients)
      }
      if kind == .cosineWithMinLR, (minLR == nil) == (minLRRate == nil) {
        throw .invalidSetting(
          name: "lr_scheduler_kwargs",
          value: minLR == nil ? "neither" : "both",
          expected: "either min_lr or min_lr_rate with \(kind.rawValue)")
      }
    }
  }

  /// The shape of warm-up or decay.
  public enum Slope: String, Sendable, Hashable, CaseIterable {
    /// A line, half a wave.
    case linear, cosine
    /// 1 − √progress.
    case oneMinusSqrt = "1-sqrt"
  }

  private let kind: Kind
  private let peak: Double
  private let warmup, total: Int
  private let coefficients: Coefficients

  /// The schedule of a run of `total` steps, `warmup` of them warming up to `peak`.
  public init(
    _ kind: Kind, peak: Double, warmup: Int, total: Int, coefficients: Coefficients = .init()
  ) {
    self.kind = kind
    self.peak = peak
    self.warmup = warmup
    self.total = total
    self.coefficients = coefficients
  }

  /// The learning rate of step `step`, from 0.
  public func learningRate(step: Int) -> Double { peak * factor(step: step) }

  /// The factor of step `step`, from 0. With any warm-up the first is 0.
  public func factor(step: Int) -> Double {
    if kind == .constant { return 1 }
    if kind == .warmupStableDecay { return warmupStableDecay(step) }
    let t = Double(step)
    if step < warmup { return t / Double(max(1, warmup)) }
    let progress = Double(step - warmup) / Double(max(1, total - warmup))
    switch kind {
    case .constant, .constantWithWarmup, .warmupStableDecay:
      return 1
    case .linear:
      return max(0, Double(total - step) / Double(max(1, total - warmup)))
    case .cosine:
      return max(0, 0.5 * (1 + cos(.pi * (coefficients.numCycles ?? 0.5) * 2 * progress)))
    case .cosineWithRestarts:
      if progress >= 1 { return 0 }
      let cycles = coefficients.numCycles ?? 1
      return max(0, 0.5 * (1 + cos(.pi * (cycles * progress).truncatingRemainder(dividingBy: 1))))
    case .cosineWithMinLR:
      let lowest = coefficients.minLRRate ?? coefficients.minLR.map { $0 / peak } ?? 0
      let wave = 0.5 * (1 + cos(.pi * (coefficients.numCycles ?? 0.5) * 2 * progress))
      return max(0, wave * (1 - lowest) + lowest)
    case .polynomial:
      let end = coefficients.lrEnd ?? 1e-7
      if step > total { return end / peak }
      let remaining = 1 - Double(step - warmup) / Double(total - warmup)
      return ((peak - end) * pow(remaining, coefficients.power ?? 1) + end) / peak
    case .inverseSqrt:
      let timescale = coefficients.timescale ?? (warmup > 0 ? Double(warmup) : 10_000)
      return 1 / ((t + timescale - Double(warmup)) / timescale).squareRoot()
    }
  }

  private func warmupStableDecay(_ step: Int) -> Double {
    let lowest = coefficients.minLRRate ?? 0
    func scaled(_ factor: Double) -> Double { max(0, factor * (1 - lowest) + lowest) }
    let decay =
      coefficients.numDecaySteps ?? max(0, total - warmup - (coefficients.numStableSteps ?? 0))
    let stable = coefficients.numStableSteps ?? total - warmup - decay
    if step < warmup {
      let progress = Double(step) / Double(max(1, warmup))
      switch coefficients.warmupType ?? .linear {
      case .linear: return scaled(progress)
      case .cosine: return scaled(0.5 * (1 - cos(.pi * progress)))
      case .oneMinusSqrt: return scaled(1 - (1 - progress).squareRoot())
      }
    }
    if step < warmup + stable { return 1 }
    if step >= warmup + stable + decay { return lowest }
    let progress = Double(step - warmup - stable) / Double(max(1, decay))
    switch coefficients.decayType ?? .cosine {
    case .linear: return scaled(1 - progress)
    case .cosine:
      return scaled(0.5 * (1 + cos(.pi * (coefficients.numCycles ?? 0.5) * 2 * progress)))
    case .oneMinusSqrt: return scaled(1 - progress.squareRoot())
    }
  }
}
