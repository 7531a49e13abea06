// The tests after `is`.

extension Interpreter {
  static let testNames: Set<String> = [
    "odd", "even", "divisibleby", "defined", "undefined", "filter", "test", "none", "boolean",
    "false", "true", "integer", "float", "lower", "upper", "string", "mapping", "number",
    "sequence", "iterable", "callable", "sameas", "escaped", "in", "==", "eq", "equalto", "!=",
    "ne", ">", "gt", "greaterthan", "ge", ">=", "<", "lt", "lessthan", "<=", "le",
  ]

  /// `value is name(arguments)`.
  func test(_ name: String, _ value: Value, _ arguments: Arguments) throws(Fault) -> Bool {
    guard Self.testNames.contains(name) else { throw Fault(.runtime, "No test named '\(name)'.") }
    switch name {
    case "divisibleby", "sameas", "in", "==", "eq", "equalto", "!=", "ne", ">", "gt",
      "greaterthan", "ge", ">=", "<", "lt", "lessthan", "<=", "le":
      let parameter = name == "divisibleby" ? "num" : name == "in" ? "seq" : "other"
      let given = try arguments.bound("test_\(name)", [parameter], required: 1)
      return try test(name, value, given[0] ?? .null)
    default:
      _ = try arguments.positional("test_\(name)", 0, 0)
      return try test(name, value)
    }
  }

  private func test(_ name: String, _ value: Value, _ other: Value) throws(Fault) -> Bool {
    switch name {
    case "divisibleby": try isEqual(binary(.modulo, value, other), .int(0))
    case "sameas": isSame(value, other)
    case "in": try contains(value, in: other)
    case "==", "eq", "equalto": try isEqual(value, other)
    case "!=", "ne": try !isEqual(value, other)
    case ">", "gt", "greaterthan": try compare(value, .greater, other)
    case ">=", "ge": try compare(value, .greaterOrEqual, other)
    case "<", "lt", "lessthan": try compare(value, .less, other)
    default: try compare(value, .lessOrEqual, other)
    }
  }

  private func test(_ name: String, _ value: Value) throws(Fault) -> Bool {
    switch (name, value.kind) {
    case ("odd", _): return try isEqual(binary(.modulo, value, .int(2)), .int(1))
    case ("even", _): return try isEqual(binary(.modulo, value, .int(2)), .int(0))
    case ("defined", _): return !value.isUndefined
    case ("undefined", _): return value.isUndefined
    case ("filter", _): return try isName(value, of: Self.filterNames)
    case ("test", _): return try isName(value, of: Self.testNames)
    case ("none", _): return value.isNone
    case ("boolean", .bool): return true
    case ("false", .bool(let flag)): return !flag
    case ("true", .bool(let flag)): return flag
    case ("integer", .int), ("integer", .big): return true
    case ("float", .double): return true
    case ("lower", _): return try text(value).isCased(upper: false)
    case ("upper", _): return try text(value).isCased(upper: true)
    case ("string", .string): return true
    case ("mapping", .dict): return true
    case ("number", _): return Number(value) != nil
    case ("sequence", .string), ("sequence", .list), ("sequence", .tuple), ("sequence", .dict),
      ("sequence", .range), ("sequence", .undefined):
      return true
    case ("iterable", .string), ("iterable", .list), ("iterable", .tuple), ("iterable", .dict),
      ("iterable", .range), ("iterable", .undefined), ("iterable", .view), ("iterable", .iterator),
      ("iterable", .loop):
      return true
    case ("callable", .macro), ("callable", .function), ("callable", .loop),
      ("callable", .undefined):
      return true
    case ("callable", .cycler(let cycler)): return cycler.isJoiner
    case ("escaped", .string(let text)): return text.isMarkup
    default: return false
    }
  }

  private func isName(_ value: Value, of names: Set<String>) throws(Fault) -> Bool {
    _ = try key(value)
    return value.text.map { names.contains($0.string) } ?? false
  }
}
