// The filters by name, and those over values in general. Filters of text and of sequences have their own
// files. `urlize` is left out: it makes HTML links.

extension Interpreter {
  static let filterNames: Set<String> = [
    "abs", "attr", "batch", "capitalize", "center", "count", "d", "default", "dictsort", "e",
    "escape", "filesizeformat", "first", "float", "forceescape", "format", "groupby", "indent",
    "int", "join", "last", "length", "list", "lower", "items", "map", "min", "max", "pprint",
    "random", "reject", "rejectattr", "replace", "reverse", "round", "safe", "select",
    "selectattr", "slice", "sort", "string", "striptags", "sum", "title", "trim", "truncate",
    "unique", "upper", "urlencode", "urlize", "wordcount", "wordwrap", "xmlattr", "tojson",
  ]

  /// `value | name(arguments)`.
  func filter(_ name: String, _ value: Value, _ arguments: Arguments) throws(Fault) -> Value {
    switch name {
    case "tojson": return try toJSON(value, arguments)
    case "default", "d":
      let given = try arguments.bound("do_default", ["default_value", "boolean"])
      if value.isUndefined { return given[0] ?? .string("") }
      if let flag = given[1], try isTrue(flag), try !isTrue(value) {
        return given[0] ?? .string("")
      }
      return value
    case "length", "count":
      _ = try arguments.positional("len", 0, 0)
      return .int(try length(value))
    case "string":
      _ = try arguments.positional("soft_str", 0, 0)
      return .string(try text(value))
    case "safe":
      _ = try arguments.positional("do_mark_safe", 0, 0)
      return .string(try text(value).marked(true))
    case "escape", "e", "forceescape":
      _ = try arguments.positional(name, 0, 0)
      let text = try text(value)
      try budget.allocate(text.bytes.count * 5)
      return .string((name == "forceescape" ? text.marked(false) : text).escapedHTML)
    case "int": return try toInt(value, arguments)
    case "float": return try toFloat(value, arguments)
    case "abs": return try absolute(value, arguments)
    case "round": return try round(value, arguments)
    case "attr":
      let given = try arguments.bound("do_attr", ["name"], required: 1)[0] ?? .null
      let attributeName = try string(given, "attr")
      if case .undefined(let missing) = value.kind { throw missing.fault }
      return try member(value, attributeName)
        ?? undefined("'\(value.typeName) object' has no attribute '\(attributeName.string)'")
    case "format":
      if !arguments.positional.isEmpty && !arguments.keywords.isEmpty {
        throw Fault(
          .filterArgument, "can't handle positional and keyword arguments at the same time")
      }
      let format = try text(value)
      if arguments.keywords.isEmpty {
        return .string(try percentFormat(format, tuple(arguments.positional)))
      }
      let pairs = arguments.keywords.map { (key: Value.string($0.name), value: $0.value) }
      return .string(try percentFormat(format, dict(pairs)))
    case "filesizeformat": return try fileSize(value, arguments)
    case "pprint":
      _ = try arguments.positional("pformat", 0, 0)
      return .string(try prettyPrinted(value))
    default:
      if let result = try textFilter(name, value, arguments) { return result }
      if let result = try sequenceFilter(name, value, arguments) { return result }
      if name == "urlize" { throw Fault(.notSupported, "the filter 'urlize' is not supported") }
      throw Fault(.runtime, "No filter named '\(name)'.")
    }
  }

  // MARK: Numbers

  private func toInt(_ value: Value, _ arguments: Arguments) throws(Fault) -> Value {
    let given = try arguments.bound("do_int", ["default", "base"])
    let fallback = given[0] ?? .int(0)
    switch value.kind {
    case .undefined(let missing): throw missing.fault
    case .string(let text):
      try budget.step(text.bytes.count)
      // A base that is no integer fails as text that is none does, in favour of float(text).
      let base = given[1].map { Number($0)?.big?.int ?? -1 } ?? 10
      if let number = try parseInteger(text, base) { return .integer(number) }
      guard let number = FloatText.parse(text), number.isFinite else { return fallback }
      return .integer(BigInteger(truncating: number))
    case .double(let number):
      if number.isInfinite {
        throw Fault(.overflow, "cannot convert float infinity to integer")
      }
      return number.isNaN ? fallback : .integer(BigInteger(truncating: number))
    default: return Number(value)?.value ?? fallback
    }
  }

  /// `int(str, base)`; nil for text that is no integer.
  private func parseInteger(_ text: Text, _ base: Int) throws(Fault) -> BigInteger? {
    guard base == 0 || (2...36).contains(base) else { return nil }
    var digits: [UInt8] = []
    let trimmed = text.stripped()
    for scalar in trimmed.scalars {
      if let value = scalar.properties.numericValue, scalar.isPythonDecimal {
        digits.append(0x30 + UInt8(value))
      } else if scalar.value < 0x80 {
        digits.append(UInt8(scalar.value))
      } else {
        return nil
      }
    }
    var sign: [UInt8] = []
    if let first = digits.first, first == 0x2D || first == 0x2B {
      sign = [first]
      digits.removeFirst()
    }
    var radix = base
    if digits.count > 2, digits[0] == 0x30 {
      let marked: Int? =
        switch digits[1] | 0x20 {
        case 0x78: 16
        case 0x6F: 8
        case 0x62: 2
        default: nil
        }
      if let marked, base == marked || base == 0 {
        radix = marked
        digits.removeFirst(2)
        if digits.first == 0x5F { digits.removeFirst() }
      }
    }
    if radix == 0 {
      if digits.count > 1, digits[0] == 0x30, digits.contains(where: { $0 != 0x30 && $0 != 0x5F }) {
        return nil
      }
      radix = 10
    }
    var plain: [UInt8] = []
    for (i, byte) in digits.enumerated() {
      if byte == 0x5F {
        guard i > 0, digits[i - 1] != 0x5F, i + 1 < digits.count else { return nil }
      } else {
        plain.append(byte)
      }
    }
    if radix & (radix - 1) != 0, plain.count > 4300 { return nil }
    guard plain.count <= budget.limits.integerBits / 5 else {
      throw Fault.limit("bits of an integer", budget.limits.integerBits)
    }
    if plain.first == 0x2D || plain.first == 0x2B { return nil }
    try budget.step(plain.count * plain.count / 64)
    return BigInteger(sign + plain, radix: UInt32(radix))
  }

  private func toFloat(_ value: Value, _ arguments: Arguments) throws(Fault) -> Value {
    let fallback = try arguments.bound("do_float", ["default"])[0] ?? .double(0)
    switch value.kind {
    case .undefined(let missing): throw missing.fault
    case .string(let text): return FloatText.parse(text).map { .double($0) } ?? fallback
    default:
      guard let number = Number(value) else { return fallback }
      if number.big != nil && number.double.isInfinite {
        throw Fault(.overflow, "int too large to convert to float")
      }
      return .double(number.double)
    }
  }

  private func absolute(_ value: Value, _ arguments: Arguments) throws(Fault) -> Value {
    _ = try arguments.positional("abs", 0, 0)
    guard let number = Number(value) else {
      throw .type("bad operand type for abs(): '\(value.typeName)'")
    }
    if case .double(let float) = number { return .double(float.magnitude) }
    let integer = number.big ?? BigInteger(0)
    return .integer(BigInteger(magnitude: integer.magnitude, isNegative: false))
  }

  private func round(_ value: Value, _ arguments: Arguments) throws(Fault) -> Value {
    let given = try arguments.bound("do_round", ["precision", "method"])
    let method = try given[1].map { (v) throws(Fault) in try text(v).string } ?? "common"
    guard ["common", "ceil", "floor"].contains(method) else {
      throw Fault(.filterArgument, "method must be common, ceil or floor")
    }
    guard let number = Number(value) else {
      throw .type("type \(value.typeName) doesn't define __round__ method")
    }
    if method == "common" {
      if let precision = given[0], precision.isNone {
        guard number.double.isFinite else { throw .value("cannot convert float to integer") }
        return .integer(BigInteger(truncating: FloatText.round(number.double, decimals: 0)))
      }
      let precision = try given[0].map { (v) throws(Fault) in try integer(v, "precision") } ?? 0
      if let whole = number.big { return try roundInteger(whole, precision) }
      guard number.double.isFinite else { return number.value }
      return .double(FloatText.round(number.double, decimals: max(-400, min(400, precision))))
    }
    let factor = try binary(.power, .int(10), given[0] ?? .int(0))
    let scaled = try binary(.multiply, value, factor)
    guard let product = Number(scaled) else { throw .type("must be real number") }
    var whole = scaled
    if case .double(let float) = product {
      guard float.isFinite else { throw Fault(.overflow, "cannot convert float to integer") }
      whole = .integer(
        BigInteger(truncating: method == "ceil" ? float.rounded(.up) : float.rounded(.down)))
    }
    return try binary(.divide, whole, factor)
  }

  /// `round(int, digits)`: half to even for negative digits.
  private func roundInteger(_ value: BigInteger, _ digits: Int) throws(Fault) -> Value {
    if digits >= 0 { return .integer(value) }
    if -digits > 5000 { return .int(0) }
    let unit = BigInteger(10).power(-digits)
    let (quotient, remainder) = value.dividedFloor(by: unit)
    let order = BigInteger.compare(remainder + remainder, unit)
    let up = order > 0 || (order == 0 && quotient.isOdd)
    return .integer((up ? quotient + BigInteger(1) : quotient) * unit)
  }

  private func fileSize(_ value: Value, _ arguments: Arguments) throws(Fault) -> Value {
    let binary = try arguments.bound("do_filesizeformat", ["binary"])[0]
    let isBinary = try binary.map { (v) throws(Fault) in try isTrue(v) } ?? false
    if case .undefined(let missing) = value.kind { throw missing.fault }
    let parsed: Double? = value.text.map { FloatText.parse($0) } ?? Number(value)?.double
    guard let bytes = parsed else { throw .value("could not convert to float") }
    let base = isBinary ? 1024.0 : 1000.0
    let prefixes =
      isBinary
      ? ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB", "YiB"]
      : ["kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB"]
    if bytes == 1 { return .string("1 Byte") }
    if bytes < base {
      guard bytes.isFinite else { throw Fault(.overflow, "cannot convert float to integer") }
      return .string(
        "\(String(decoding: BigInteger(truncating: bytes).decimal, as: UTF8.self)) Bytes")
    }
    guard bytes.isFinite else { throw .value("cannot format this file size") }
    var unit = base
    for (i, prefix) in prefixes.enumerated() {
      unit *= base
      if bytes < unit || i == prefixes.count - 1 {
        return .string(FloatText.fixed(base * bytes / unit, decimals: 1) + " " + prefix)
      }
    }
    return .string("")
  }
}
