// How often something happens in a run: every so many steps, or a share of the whole run, as transformers has it.

/// A number of steps, or a share of all steps of the run.
public enum StepInterval: Sendable, Hashable, ExpressibleByIntegerLiteral,
  ExpressibleByFloatLiteral,
  CustomStringConvertible
{
  /// Every so many steps.
  case steps(Int)
  /// This share of the steps of the run, rounded up.
  case share(Double)

  /// So many steps.
  public init(integerLiteral value: Int) { self = .steps(value) }

  /// A share below 1, or a whole number of steps.
  public init(floatLiteral value: Double) { self = StepInterval(value) ?? .share(value) }

  /// A share where `value` is between 0 and 1, a number of steps where it is whole and 1 or more; else nil.
  public init?(_ value: Double) {
    if value > 0, value < 1 {
      self = .share(value)
    } else if value >= 1, value <= 0x1p53, value == value.rounded() {
      self = .steps(Int(value))
    } else {
      return nil
    }
  }

  /// Whether it can be: 1 or more steps, or a share between 0 and 1.
  var isValid: Bool {
    switch self {
    case .steps(let count): count > 0
    case .share(let share): share > 0 && share < 1
    }
  }

  /// The steps in a run of `total`, 1 or more.
  public func steps(of total: Int) -> Int {
    switch self {
    case .steps(let count): max(1, count)
    case .share(let share): max(1, Int((Double(total) * share).rounded(.up)))
    }
  }

  /// Whether every time of this interval is one of `other` too. Shares are compared in millionths, as transformers does;
  /// a share and a number of steps have no common measure.
  func isMultiple(of other: StepInterval) -> Bool {
    switch (self, other) {
    case (.steps(let own), .steps(let unit)): unit > 0 && own.isMultiple(of: unit)
    case (.share(let own), .share(let unit)):
      (own * 1e6).truncatingRemainder(dividingBy: unit * 1e6) == 0
    default: false
    }
  }

  /// "500" or "0.1".
  public var description: String {
    switch self {
    case .steps(let count): "\(count)"
    case .share(let share): "\(share)"
    }
  }
}
