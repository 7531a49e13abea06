// Numbers and columns of formatted text: what `%` and `str.format` have in common.

extension Interpreter {
  /// An integer by its type: decimal, hexadecimal, octal or binary.
  func integerText(
    _ value: BigInteger, _ spec: FormatSpec, minimumDigits: Int? = nil
  ) throws(Fault) -> Text {
    try budget.step(value.magnitude.count * value.magnitude.count / 4 + 1)
    let magnitude = BigInteger(magnitude: value.magnitude, isNegative: false)
    var digits: String
    var prefix = ""
    switch spec.type {
    case nil, "d", "n":
      digits = String(decoding: try self.digits(of: magnitude), as: UTF8.self)
    case "x", "X", "o", "b":
      let radix: UInt32 = spec.type == "o" ? 8 : spec.type == "b" ? 2 : 16
      digits = String(decoding: magnitude.digits(radix: radix), as: UTF8.self)
      if spec.type == "X" { digits = digits.uppercased() }
      if spec.alternate { prefix = "0" + String(spec.type ?? "x") }
    default:
      throw .value("Unknown format code '\(spec.type ?? "d")' for object of type 'int'")
    }
    if let minimum = minimumDigits, minimum > digits.utf8.count {
      digits = String(repeating: "0", count: minimum - digits.utf8.count) + digits
    }
    let group = spec.type == nil || spec.type == "d" ? 3 : 4
    let sign = value.isNegative ? "-" : spec.sign == "-" ? "" : String(spec.sign)
    return Text(zeroFilled(sign + prefix, digits, "", spec, group: group))
  }

  /// A float by its type.
  func floatText(_ value: Double, _ spec: FormatSpec) throws(Fault) -> Text {
    let type = spec.type ?? "r"
    guard ["e", "E", "f", "F", "g", "G", "%", "n", "r"].contains(type) else {
      throw .value("Unknown format code '\(type)' for object of type 'float'")
    }
    let precision = try bounded(spec.precision ?? 6, Self.maximumPrecision)
    try budget.step(precision + 64)
    let isNegative = value.sign == .minus && !value.isNaN
    let sign = isNegative ? "-" : spec.sign == "-" ? "" : String(spec.sign)
    var body: String
    let magnitude = value.magnitude
    if !value.isFinite {
      body = value.isNaN ? "nan" : "inf"
      if type == "%" { body += "%" }
    } else {
      switch type {
      case "e", "E": body = FloatText.scientific(magnitude, decimals: precision)
      case "f", "F": body = FloatText.fixed(magnitude, decimals: precision)
      case "%": body = FloatText.fixed(magnitude * 100, decimals: precision) + "%"
      case "r":
        if spec.precision == nil {
          body = FloatText.repr(magnitude)
        } else {
          body = FloatText.general(magnitude, precision: precision)
          if !body.contains(".") && !body.contains("e") {
            let fits = body.utf8.count < max(precision, 1)
            body =
              fits ? body + ".0" : FloatText.scientific(magnitude, decimals: max(precision, 1) - 1)
          }
        }
      default:
        body = FloatText.general(magnitude, precision: precision, keepsZeros: spec.alternate)
      }
    }
    if type == "E" || type == "G" || type == "F" { body = body.uppercased() }
    let whole = body.prefix { ("0"..."9").contains($0) }
    return Text(
      zeroFilled(sign, String(whole), String(body.dropFirst(whole.count)), spec, group: 3))
  }

  /// Digits with grouping and the zeros of a `0` fill between sign and digits.
  private func zeroFilled(
    _ sign: String, _ digits: String, _ tail: String, _ spec: FormatSpec, group: Int
  ) -> String {
    func grouped(_ digits: String) -> String {
      guard let mark = spec.grouping else { return digits }
      var result = ""
      for (i, digit) in digits.enumerated() {
        if i > 0, (digits.utf8.count - i) % group == 0 { result.unicodeScalars.append(mark) }
        result.append(digit)
      }
      return result
    }
    var text = grouped(digits)
    let isZeroFilled =
      spec.fill == "0" && (spec.align == "=" || spec.align == nil || spec.align == ">")
    if isZeroFilled && (spec.align != ">" || spec.grouping == nil) {
      var padded = digits
      let room = spec.width - sign.utf8.count - tail.utf8.count
      if spec.grouping == nil {
        if room > padded.utf8.count {
          padded = String(repeating: "0", count: room - padded.utf8.count) + padded
        }
        text = padded
      } else {
        while text.utf8.count < room {
          padded = "0" + padded
          text = grouped(padded)
        }
      }
    } else if spec.align == "=" {
      let room = spec.width - sign.utf8.count - tail.utf8.count - text.utf8.count
      if room > 0 {
        var fill = String.UnicodeScalarView()
        for _ in 0..<room { fill.append(spec.fill) }
        text = String(fill) + text
      }
    }
    return sign + text + tail
  }

  /// Fill and alignment to the width.
  func fitted(_ text: Text, _ spec: FormatSpec) throws(Fault) -> Text {
    if spec.width <= text.bytes.count && text.isASCII { return text }
    let fill = Text(String(spec.fill))
    switch spec.align {
    case "<": return try padded(text, spec.width, fill, "ljust")
    case "^":
      // str.format puts the odd column to the right always; str.center does not.
      let missing = spec.width - text.scalarCount
      if missing <= 0 { return text }
      let left = try padded(text, text.scalarCount + missing / 2, fill, "rjust")
      return try padded(left, spec.width, fill, "ljust")
    default: return try padded(text, spec.width, fill, "rjust")
    }
  }
}
