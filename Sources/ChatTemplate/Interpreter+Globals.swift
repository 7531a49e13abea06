// The functions of the environment: jinja2's globals as transformers leaves them, and its own.

extension Interpreter {
  static let globalNames: Set<String> = [
    "range", "dict", "lipsum", "cycler", "joiner", "namespace", "raise_exception", "strftime_now",
  ]

  /// Calls a global function.
  func global(_ name: String, _ arguments: Arguments) throws(Fault) -> Value {
    switch name {
    case "range": return try range(arguments)
    case "dict": return try dict(dictPairs(name, arguments))
    case "namespace":
      let object = NamespaceObject()
      owned.append { object.attributes = [] }
      try budget.allocate(256)
      for pair in try dictPairs(name, arguments) {
        guard let key = pair.key.text else { throw .type("keywords must be strings") }
        try setAttribute(key.string, pair.value, on: object)
      }
      return Value(.namespace(object))
    case "cycler":
      let items = try arguments.positional(name, 0, .max)
      guard !items.isEmpty else { throw Fault(.runtime, "at least one item has to be provided") }
      let cycler = CyclerObject(items)
      try checkDepth(cycler.items.depth)
      return Value(.cycler(cycler))
    case "joiner":
      let separator = try arguments.bound(name, ["sep"])[0] ?? .string(", ")
      return Value(.cycler(CyclerObject([separator], isJoiner: true)))
    case "raise_exception":
      let message = try arguments.bound(name, ["message"], required: 1)[0] ?? .null
      throw Fault(.raised, try text(message).string)
    case "strftime_now":
      let format = try arguments.bound(name, ["format"], required: 1)[0] ?? .null
      return .string(Text(try clock.format(string(format, name).string)))
    default:
      throw Fault(.notSupported, "\(name)() is not supported in chat templates: its text is random")
    }
  }

  private func range(_ arguments: Arguments) throws(Fault) -> Value {
    let given = try arguments.positional("range", 1, 3)
    var numbers: [Int] = []
    for value in given {
      if case .big = value.kind { throw Fault(.overflow, "Range too big.") }
      numbers.append(try integer(value, "range"))
    }
    let (start, stop) = numbers.count == 1 ? (0, numbers[0]) : (numbers[0], numbers[1])
    let step = numbers.count == 3 ? numbers[2] : 1
    guard step != 0 else { throw .value("range() arg 3 must not be zero") }
    let (span, overflow) =
      step > 0
      ? stop.subtractingReportingOverflow(start) : start.subtractingReportingOverflow(stop)
    let stride = step.magnitude
    let count: UInt = span <= 0 && !overflow ? 0 : overflow ? .max : (UInt(span) - 1) / stride + 1
    guard (stop > start) == (step > 0) || count == 0 || !overflow else {
      return Value(.range(RangeObject(start: start, stop: stop, step: step, count: 0)))
    }
    guard count <= UInt(TemplateLimits.range) else {
      throw Fault(
        .overflow,
        "Range too big. The sandbox blocks ranges larger than MAX_RANGE (\(TemplateLimits.range)).")
    }
    return Value(.range(RangeObject(start: start, stop: stop, step: step, count: Int(count))))
  }

  /// The pairs `dict(...)` would have.
  private func dictPairs(
    _ name: String, _ arguments: Arguments
  ) throws(Fault) -> [(key: Value, value: Value)] {
    guard arguments.positional.count <= 1 else {
      throw .type("\(name) expected at most 1 argument, got \(arguments.positional.count)")
    }
    var pairs: [(key: Value, value: Value)] = []
    if let source = arguments.positional.first {
      if case .dict(let object) = source.kind {
        pairs = object.entries
      } else {
        for (i, item) in try iterate(source).enumerated() {
          let pair = try iterate(item)
          guard pair.count == 2 else {
            throw .value(
              "dictionary update sequence element #\(i) has length \(pair.count); 2 is required")
          }
          pairs.append((pair[0], pair[1]))
        }
      }
    }
    for keyword in arguments.keywords { pairs.append((.string(keyword.name), keyword.value)) }
    return pairs
  }
}
