// `rank_pattern` and `alpha_pattern`: JSON objects from patterns of module paths to numbers.

public import NN
public import OrderedJSON

/// Reads and writes the patterns of PEFT's settings.
public enum AdapterPattern {
  /// `rank_pattern`: null, or an object of ranks.
  public static func ranks(_ json: JSON) throws(AdapterPatternError) -> ModuleValues<Int> {
    try values(json, "rank_pattern", "an integer from 1 to 65536") {
      $0.integerValue.flatMap { (1...65_536).contains($0) ? $0 : nil }
    }
  }

  /// `alpha_pattern`: null, or an object of numbers.
  public static func alphas(_ json: JSON) throws(AdapterPatternError) -> ModuleValues<Double> {
    try values(json, "alpha_pattern", "a finite number") {
      $0.doubleValue.flatMap { $0.isFinite ? $0 : nil }
    }
  }

  private static func values<Value>(
    _ json: JSON, _ name: String, _ expected: String, _ value: (JSON) -> Value?
  ) throws(AdapterPatternError) -> ModuleValues<Value> {
    var result = ModuleValues<Value>()
    if json.isNull { return result }
    guard case .object(let object) = json else {
      throw AdapterPatternError(
        name: name,
        problem: "is \(json.kindDescription), expected an object from patterns to numbers")
    }
    for (key, json) in object {
      guard let value = value(json) else {
        throw AdapterPatternError(
          name: name,
          problem:
            "has \(json.kindDescription) \(json.serialized().prefix(40)) for \(key.debugDescription), expected \(expected)"
        )
      }
      do throws(ModulePatternError) {
        result.append(try ModulePattern(key), value)
      } catch {
        throw AdapterPatternError(name: name, problem: "cannot be used: \(error.description)")
      }
    }
    return result
  }

  /// The patterns in their order, as the first one that matches counts.
  package static func json<Value>(_ values: ModuleValues<Value>, _ number: (Value) -> JSON) -> JSON
  {
    .object(JSONObject(values.entries.map { ($0.pattern.source, number($0.value)) }))
  }
}

/// A pattern that makes no sense.
public struct AdapterPatternError: Error, Sendable, CustomStringConvertible {
  /// The setting.
  public let name: String
  /// What is wrong with it, as the rest of a sentence.
  public let problem: String

  /// A problem with `name`.
  public init(name: String, problem: String) {
    self.name = name
    self.problem = problem
  }

  public var description: String { "\(name) \(problem)" }
}
