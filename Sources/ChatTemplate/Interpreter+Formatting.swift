// Python's two ways of formatting strings: `%` and `str.format`, with the format specification language
// for strings and numbers.

extension Interpreter {
  /// A format specification: `[[fill]align][sign][#][0][width][,][.precision][type]`.
  struct FormatSpec {
    var fill: Unicode.Scalar = " "
    var align: Unicode.Scalar?
    var sign: Unicode.Scalar = "-"
    var alternate = false
    var width = 0
    var grouping: Unicode.Scalar?
    var precision: Int?
    var type: Unicode.Scalar?
  }

  /// The most columns a formatted value may have, or digits after the point.
  static let maximumWidth = 1_000_000
  static let maximumPrecision = 2_000

  // MARK: %

  /// `format % argument`.
  func percentFormat(_ format: Text, _ argument: Value) throws(Fault) -> Text {
    var builder = TextBuilder()
    var values: [Value]
    if case .tuple(let object) = argument.kind {
      values = object.items
    } else {
      values = [argument]
    }
    var used = 0
    var isMapping = false
    if case .dict = argument.kind { isMapping = true }
    var offset = 0
    func take() throws(Fault) -> Value {
      guard used < values.count else { throw .type("not enough arguments for format string") }
      used += 1
      return values[used - 1]
    }
    while let place = format.find([0x25], from: offset) {
      builder.append(format, from: offset, to: place)
      offset = place + 1
      var spec = FormatSpec()
      var mapped: Value?
      func peek() throws(Fault) -> UInt8 {
        guard offset < format.bytes.count else { throw .value("incomplete format") }
        return format.bytes[offset]
      }
      if try peek() == 0x28 {
        var level = 1
        let start = offset + 1
        offset = start
        while level > 0 {
          let byte = try peek()
          level += byte == 0x28 ? 1 : byte == 0x29 ? -1 : 0
          offset += 1
        }
        guard case .dict(let object) = argument.kind else {
          throw .type("format requires a mapping")
        }
        let name = Array(format.bytes[start..<(offset - 1)])
        guard let value = object[name] else {
          throw Fault(.key, "'\(String(decoding: name, as: UTF8.self))'")
        }
        mapped = value
        used = values.count
      }
      var leftAligned = false
      flags: while true {
        switch try peek() {
        case 0x2D: leftAligned = true
        case 0x2B: spec.sign = "+"
        case 0x20: if spec.sign != "+" { spec.sign = " " }
        case 0x23: spec.alternate = true
        case 0x30: spec.fill = "0"
        default: break flags
        }
        offset += 1
      }
      if try peek() == 0x2A {
        offset += 1
        let width = try integer(take(), "width")
        if width < 0 { leftAligned = true }
        spec.width = try bounded(abs(max(width, -Self.maximumWidth - 1)), Self.maximumWidth)
      } else {
        spec.width = try number(format, &offset, Self.maximumWidth) ?? 0
      }
      if try peek() == 0x2E {
        offset += 1
        if try peek() == 0x2A {
          offset += 1
          spec.precision = try bounded(max(0, integer(take(), "precision")), Self.maximumPrecision)
        } else {
          spec.precision = try number(format, &offset, Self.maximumWidth) ?? 0
        }
      }
      while [0x68, 0x6C, 0x4C].contains(try peek()) { offset += 1 }
      let (type, next) = format.scalar(at: offset)
      offset = next
      if type == "%" {
        builder.append("%")
        continue
      }
      let value: Value
      if let mapped { value = mapped } else { value = try take() }
      spec.type = type
      let text = try percentField(value, &spec, isMarkup: format.isMarkup)
      spec.align = leftAligned ? "<" : spec.align ?? ">"
      if leftAligned { spec.fill = " " }
      builder.append(try fitted(text, spec))
      try checkSize(builder.count)
    }
    builder.append(format, from: offset, to: format.bytes.count)
    if used < values.count && !isMapping {
      var isEmptyContainer = false
      if case .list = argument.kind { isEmptyContainer = used == 0 }
      if !isEmptyContainer {
        throw .type("not all arguments converted during string formatting")
      }
    }
    try budget.allocate(builder.count)
    return builder.text.marked(format.isMarkup)
  }

  private func percentField(
    _ value: Value, _ spec: inout FormatSpec, isMarkup: Bool
  ) throws(Fault) -> Text {
    switch spec.type {
    case "s", "r", "a":
      var text = spec.type == "s" ? try self.text(value) : try representation(value)
      if isMarkup { text = text.escapedHTML }
      if let precision = spec.precision {
        text = text.slice(0, text.byteOffset(ofScalar: precision))
      }
      if spec.fill == "0" { spec.fill = " " }
      return text
    case "c":
      spec.fill = " "
      if case .string(let text) = value.kind, text.scalarCount == 1 { return text }
      guard let code = Number(value)?.exactInt, let scalar = Self.scalar(code)
      else { throw .type("%c requires int or char") }
      return Text(String(scalar))
    case "d", "i", "u", "x", "X", "o":
      var number = try percentNumber(value, spec.type ?? "d")
      if case .double(let float) = number {
        guard spec.type == "d" || spec.type == "i" || spec.type == "u" else {
          throw .type(
            "%\(spec.type.map(String.init) ?? "") format: an integer is required, not float")
        }
        guard float.isFinite else { throw Fault(.overflow, "cannot convert float to integer") }
        number = .big(BigInteger(truncating: float))
      }
      let minimum = spec.precision
      spec.precision = nil
      if spec.type == "i" || spec.type == "u" { spec.type = "d" }
      return try integerText(number.big ?? BigInteger(0), spec, minimumDigits: minimum)
    case "e", "E", "f", "F", "g", "G":
      let number = try percentNumber(value, spec.type ?? "f")
      return try floatText(number.double, spec)
    default:
      throw .value("unsupported format character '\(spec.type.map(String.init) ?? "")'")
    }
  }

  private static func scalar(_ code: Int) -> Unicode.Scalar? {
    UInt32(exactly: code).flatMap { Unicode.Scalar($0) }
  }

  private func percentNumber(_ value: Value, _ type: Unicode.Scalar) throws(Fault) -> Number {
    if case .undefined(let missing) = value.kind { throw missing.fault }
    guard let number = Number(value) else {
      throw .type("%\(type) format: a real number is required, not \(value.typeName)")
    }
    return number
  }

  /// `value`, which must not exceed `maximum` columns.
  func bounded(_ value: Int, _ maximum: Int) throws(Fault) -> Int {
    guard value <= maximum else { throw Fault.limit("columns of a formatted value", maximum) }
    return value
  }

  /// Refuses a text of `byteCount` bytes that is still growing, before it takes memory without bound.
  func checkSize(_ byteCount: Int) throws(Fault) {
    guard byteCount <= budget.limits.outputBytes else {
      throw Fault.limit("bytes of text", budget.limits.outputBytes)
    }
  }

  private func number(_ text: Text, _ offset: inout Int, _ maximum: Int) throws(Fault) -> Int? {
    var value: Int?
    while offset < text.bytes.count, text.bytes[offset].isDigit {
      value = try bounded((value ?? 0) * 10 + Int(text.bytes[offset] - 0x30), maximum)
      offset += 1
    }
    return value
  }

  // MARK: str.format

  /// `format.format(arguments)`.
  func braceFormat(_ format: Text, _ arguments: Arguments) throws(Fault) -> Text {
    var automatic = 0
    return try braceFormat(format, arguments, &automatic, level: 2)
  }

  private func braceFormat(
    _ format: Text, _ arguments: Arguments, _ automatic: inout Int, level: Int
  ) throws(Fault) -> Text {
    guard level > 0 else { throw .value("Max string recursion exceeded") }
    var builder = TextBuilder()
    var offset = 0
    var plain = 0
    let bytes = format.bytes
    while offset < bytes.count {
      let byte = bytes[offset]
      guard byte == 0x7B || byte == 0x7D else {
        offset += 1
        continue
      }
      builder.append(format, from: plain, to: offset)
      if offset + 1 < bytes.count, bytes[offset + 1] == byte {
        builder.append(format, from: offset, to: offset + 1)
        offset += 2
        plain = offset
        continue
      }
      if byte == 0x7D { throw .value("Single '}' encountered in format string") }
      var (end, depth) = (offset + 1, 1)
      while end < bytes.count {
        depth += bytes[end] == 0x7B ? 1 : bytes[end] == 0x7D ? -1 : 0
        if depth == 0 { break }
        end += 1
      }
      guard end < bytes.count else {
        throw .value(
          offset + 1 == bytes.count
            ? "Single '{' encountered in format string" : "expected '}' before end of string")
      }
      builder.append(
        try field(format.slice(offset + 1, end), arguments, &automatic, level: level))
      try checkSize(builder.count)
      offset = end + 1
      plain = offset
    }
    builder.append(format, from: plain, to: bytes.count)
    try budget.allocate(builder.count)
    return builder.text
  }

  private func field(
    _ field: Text, _ arguments: Arguments, _ automatic: inout Int, level: Int
  ) throws(Fault) -> Text {
    var nameEnd = field.bytes.count
    var brackets = 0
    for (i, byte) in field.bytes.enumerated() {
      if byte == 0x5B { brackets += 1 } else if byte == 0x5D { brackets -= 1 }
      if brackets <= 0, byte == 0x21 || byte == 0x3A {
        nameEnd = i
        break
      }
    }
    var rest = nameEnd
    var conversion: UInt8?
    if rest < field.bytes.count, field.bytes[rest] == 0x21 {
      guard rest + 1 < field.bytes.count else {
        throw .value("end of string while looking for conversion specifier")
      }
      conversion = field.bytes[rest + 1]
      rest += 2
      guard rest == field.bytes.count || field.bytes[rest] == 0x3A else {
        throw .value("expected ':' after conversion specifier")
      }
    }
    var value = try lookUp(Array(field.bytes[..<nameEnd]), arguments, &automatic)
    switch conversion {
    case nil: break
    case 0x73: value = .string(try text(value))
    case 0x72, 0x61: value = .string(try representation(value))
    default: throw .value("Unknown conversion specifier \(conversion ?? 0)")
    }
    var spec = Text([])
    if rest < field.bytes.count {
      spec = try braceFormat(
        field.slice(rest + 1, field.bytes.count), arguments, &automatic, level: level - 1)
    }
    return try formatted(value, spec)
  }

  private func lookUp(
    _ name: [UInt8], _ arguments: Arguments, _ automatic: inout Int
  ) throws(Fault) -> Value {
    var end = 0
    while end < name.count, name[end] != 0x2E, name[end] != 0x5B { end += 1 }
    let first = String(decoding: name[..<end], as: UTF8.self)
    var value: Value
    if first.isEmpty || first.utf8.allSatisfy(\.isDigit) {
      let index: Int
      if first.isEmpty {
        guard automatic >= 0 else {
          throw .value("cannot switch from manual field specification to automatic field numbering")
        }
        index = automatic
        automatic += 1
      } else {
        guard automatic <= 0 else {
          throw .value("cannot switch from automatic field numbering to manual field specification")
        }
        automatic = -1
        index = Int(first) ?? .max
      }
      guard index < arguments.positional.count else {
        throw Fault(
          .index, "Replacement index \(index) out of range for positional args tuple")
      }
      value = arguments.positional[index]
    } else {
      guard let found = arguments.keywords.first(where: { $0.name == first }) else {
        throw Fault(.key, "'\(first)'")
      }
      value = found.value
    }
    while end < name.count {
      let start = end + 1
      let isAttribute = name[end] == 0x2E
      end = start
      if isAttribute {
        while end < name.count, name[end] != 0x2E, name[end] != 0x5B { end += 1 }
      } else {
        while end < name.count, name[end] != 0x5D { end += 1 }
        guard end < name.count else { throw .value("Missing ']' in format string") }
      }
      let part = Array(name[start..<end])
      guard !part.isEmpty else { throw .value("Empty attribute in format string") }
      if isAttribute {
        value = try attribute(value, Text(part))
      } else {
        end += 1
        let index = part.allSatisfy(\.isDigit) ? Int(String(decoding: part, as: UTF8.self)) : nil
        value = try item(value, index.map { .int($0) } ?? .string(Text(part)))
      }
    }
    return value
  }

  /// `format(value, spec)`.
  func formatted(_ value: Value, _ specText: Text) throws(Fault) -> Text {
    if specText.isEmpty { return try text(value) }
    var spec = try parse(specText)
    if case .string(let text) = value.kind {
      guard spec.type == nil || spec.type == "s" else {
        throw .value("Unknown format code '\(spec.type ?? "s")' for object of type 'str'")
      }
      guard spec.sign == "-", spec.align != "=", spec.grouping == nil else {
        throw .value("Sign, '=' alignment or ',' not allowed in string format specifier")
      }
      let cut = spec.precision.map { text.slice(0, text.byteOffset(ofScalar: $0)) } ?? text
      spec.align = spec.align ?? "<"
      return try fitted(cut, spec)
    }
    guard let number = Number(value) else {
      throw .type("unsupported format string passed to \(value.typeName).__format__")
    }
    spec.align = spec.align ?? ">"
    if let integer = number.big, !["e", "E", "f", "F", "g", "G", "%"].contains(spec.type) {
      guard spec.precision == nil else {
        throw .value("Precision not allowed in integer format specifier")
      }
      if spec.type == "c" {
        guard let code = integer.int, let scalar = Self.scalar(code) else {
          throw Fault(.overflow, "%c arg not in range(0x110000)")
        }
        return try fitted(Text(String(scalar)), spec)
      }
      return try fitted(integerText(integer, spec), spec)
    }
    return try fitted(floatText(number.double, spec), spec)
  }

  private func parse(_ text: Text) throws(Fault) -> FormatSpec {
    var spec = FormatSpec()
    var scalars = text.scalars[...]
    let aligns: [Unicode.Scalar] = ["<", ">", "=", "^"]
    if scalars.count >= 2, aligns.contains(scalars[1]) {
      (spec.fill, spec.align) = (scalars[0], scalars[1])
      scalars = scalars.dropFirst(2)
    } else if let first = scalars.first, aligns.contains(first) {
      spec.align = first
      scalars = scalars.dropFirst()
    }
    if let sign = scalars.first, ["+", "-", " "].contains(sign) {
      spec.sign = sign
      scalars = scalars.dropFirst()
    }
    if scalars.first == "#" {
      spec.alternate = true
      scalars = scalars.dropFirst()
    }
    if scalars.first == "0" {
      if spec.align == nil { (spec.fill, spec.align) = ("0", "=") }
      scalars = scalars.dropFirst()
    }
    func digits(_ maximum: Int) throws(Fault) -> Int? {
      var value: Int?
      while let scalar = scalars.first, ("0"..."9").contains(scalar) {
        value = try bounded((value ?? 0) * 10 + Int(scalar.value - 0x30), maximum)
        scalars = scalars.dropFirst()
      }
      return value
    }
    spec.width = try digits(Self.maximumWidth) ?? 0
    if let mark = scalars.first, mark == "," || mark == "_" {
      spec.grouping = mark
      scalars = scalars.dropFirst()
    }
    if scalars.first == "." {
      scalars = scalars.dropFirst()
      guard let precision = try digits(Self.maximumWidth) else {
        throw .value("Format specifier missing precision")
      }
      spec.precision = precision
    }
    if let type = scalars.popFirst() { spec.type = type }
    guard scalars.isEmpty else { throw .value("Invalid format specifier") }
    return spec
  }
}
