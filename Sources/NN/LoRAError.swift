// What adapters cannot be.

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
