// An entry of the log, as trainer_state.json and metrics.jsonl have it.

/// One entry of the log: a training entry covers the steps since the one before.
public struct LogEntry: Sendable, Hashable {
  /// Keys and values in the order in which trainer_state.json has them.
  public var values: [(key: String, value: Double)]
  /// The step, from 1.
  public var step: Int

  /// An entry of the given values.
  package init(values: [(key: String, value: Double)], step: Int) {
    self.values = values
    self.step = step
  }

  public static func == (a: LogEntry, b: LogEntry) -> Bool {
    a.step == b.step
      && a.values.elementsEqual(b.values) { $0.key == $1.key && $0.value == $1.value }
  }

  public func hash(into hasher: inout Hasher) {
    hasher.combine(step)
    for (key, value) in values {
      hasher.combine(key)
      hasher.combine(value)
    }
  }

  /// The value of `key`, nil without it.
  public subscript(key: String) -> Double? { values.first { $0.key == key }?.value }
}
