// `lr_scheduler_kwargs`: the coefficients of a schedule by transformers' names.

public import OrderedJSON

extension LearningRateSchedule.Coefficients {
  /// Coefficients from an object with transformers' keys; an unknown key, a wrong type and, where `kind` is given, a key that this shape
  /// does not have are errors.
  public init(json object: JSONObject, for kind: LearningRateSchedule.Kind? = nil)
    throws(TrainingError)
  {
    self.init()
    for (key, value) in object {
      func wrong(_ expected: String) -> TrainingError {
        .invalidSetting(
          name: "lr_scheduler_kwargs.\(key)", value: value.serialized(), expected: expected)
      }
      func number() throws(TrainingError) -> Double {
        guard let number = value.doubleValue else { throw wrong("a number") }
        return number
      }
      func steps() throws(TrainingError) -> Int {
        guard let steps = value.integerValue, steps >= 0 else {
          throw wrong("a whole number, 0 or more")
        }
        return steps
      }
      func slope() throws(TrainingError) -> LearningRateSchedule.Slope {
        guard let text = value.stringValue, let slope = LearningRateSchedule.Slope(rawValue: text)
        else { throw wrong("linear, cosine or 1-sqrt") }
        return slope
      }
      if let kind, Self.names.contains(key), !kind.coefficients.contains(key) {
        throw wrong(kind.expectedCoefficients)
      }
      switch key {
      case "num_cycles": numCycles = try number()
      case "min_lr": minLR = try number()
      case "min_lr_rate", "min_lr_ratio": minLRRate = try number()
      case "lr_end": lrEnd = try number()
      case "power": power = try number()
      case "timescale": timescale = try number()
      case "decay_type": decayType = try slope()
      case "warmup_type": warmupType = try slope()
      case "num_decay_steps": numDecaySteps = try steps()
      case "num_stable_steps": numStableSteps = try steps()
      default:
        throw wrong(
          kind?.expectedCoefficients ?? "one of " + Self.names.sorted().joined(separator: ", "))
      }
    }
  }

  /// All keys.
  private static let names = Set(
    LearningRateSchedule.Kind.allCases.flatMap(\.coefficients))
}
