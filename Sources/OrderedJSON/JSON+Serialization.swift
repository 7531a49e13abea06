// JSON text in the forms of Python's json.dumps. Written with a stack of its own: depth costs no recursion.

/// The layout of serialized JSON.
public enum JSONStyle: Sendable, Hashable {
  /// `{"a": 1, "b": [2, 3]}`, as `json.dumps(value, ensure_ascii=False)`.
  case python
  /// `{"a":1,"b":[2,3]}`, as `json.dumps(value, separators=(",", ":"))`.
  case compact
  /// A line for each element, indented by the given number of spaces, as `json.dumps(value, indent=n)`.
  case indented(Int)
}

extension JSON {
  /// The value as JSON text.
  ///
  /// Numbers are written as Python's `repr` does; NaN and the infinities as `NaN`, `Infinity` and
  /// `-Infinity`. No line end follows.
  ///
  /// - Parameters:
  ///   - sortedKeys: objects in the order of their keys' code points instead of their own order.
  ///   - ensureASCII: every scalar outside printable ASCII as `\uXXXX`.
  public func serialized(
    style: JSONStyle = .python, sortedKeys: Bool = false, ensureASCII: Bool = false
  ) -> String {
    String(
      decoding: serializedBytes(style: style, sortedKeys: sortedKeys, ensureASCII: ensureASCII),
      as: UTF8.self)
  }

  /// The bytes of ``serialized(style:sortedKeys:ensureASCII:)``.
  public func serializedBytes(
    style: JSONStyle = .python, sortedKeys: Bool = false, ensureASCII: Bool = false
  ) -> [UInt8] {
    var writer = JSONWriter(style: style, sortsKeys: sortedKeys, ensuresASCII: ensureASCII)
    writer.write(self)
    return writer.output
  }

  /// A string as a JSON string with its quotes, escaped as Python's `json.dumps` does.
  public static func quoted(_ text: String, ensureASCII: Bool = false) -> String {
    var writer = JSONWriter(style: .python, sortsKeys: false, ensuresASCII: ensureASCII)
    writer.write(string: text)
    return String(decoding: writer.output, as: UTF8.self)
  }

  /// A number as Python's `repr(float)` writes it, but `NaN`, `Infinity` and `-Infinity` as JSON has them.
  ///
  /// The shortest digits that read back as the same number; an exponent of two digits or more below 1e-4
  /// and from 1e16 up.
  public static func pythonRepresentation(of value: Double) -> String {
    if value.isNaN { return "NaN" }
    if value.isInfinite { return value < 0 ? "-Infinity" : "Infinity" }
    if value == 0 { return value.sign == .minus ? "-0.0" : "0.0" }
    // Swift prints the same shortest digits, with another rule for the exponent: take digits and point.
    var digits: [UInt8] = []
    var pointPosition: Int?
    var exponent = 0
    let text = Array(value.magnitude.description.utf8)
    for (index, byte) in text.enumerated() {
      if byte == 0x2E {
        pointPosition = digits.count
      } else if byte == 0x65 {
        exponent = Int(String(decoding: text[(index + 1)...], as: UTF8.self)) ?? 0
        break
      } else {
        digits.append(byte)
      }
    }
    // value = 0.DIGITS × 10^decimalPoint
    var decimalPoint = (pointPosition ?? digits.count) + exponent
    let leadingZeros = digits.prefix { $0 == 0x30 }.count
    digits.removeFirst(leadingZeros)
    decimalPoint -= leadingZeros
    while digits.last == 0x30 { digits.removeLast() }

    let sign = value < 0 ? "-" : ""
    func string(_ bytes: some Sequence<UInt8>) -> String {
      String(decoding: Array(bytes), as: UTF8.self)
    }
    if decimalPoint > -4, decimalPoint <= 0 {
      return sign + "0." + String(repeating: "0", count: -decimalPoint) + string(digits)
    }
    if decimalPoint > 0, decimalPoint <= 16 {
      if digits.count <= decimalPoint {
        return sign + string(digits) + String(repeating: "0", count: decimalPoint - digits.count)
          + ".0"
      }
      return sign + string(digits[..<decimalPoint]) + "." + string(digits[decimalPoint...])
    }
    let power = decimalPoint - 1
    let powerDigits = String(power.magnitude)
    return sign + string(digits.prefix(1)) + (digits.count > 1 ? "." : "")
      + string(digits.dropFirst()) + "e" + (power < 0 ? "-" : "+")
      + (powerDigits.utf8.count < 2 ? "0" : "") + powerDigits
  }
}

/// The state of one serialization.
private struct JSONWriter {
  private enum Container {
    case array([JSON])
    case object(JSONObject, order: [Int]?)

    var count: Int {
      switch self {
      case .array(let elements): elements.count
      case .object(let object, _): object.count
      }
    }
  }

  let sortsKeys: Bool
  let ensuresASCII: Bool
  private let itemSeparator: [UInt8]
  private let keySeparator: [UInt8]
  private let indent: Int?
  private(set) var output: [UInt8] = []
  private var containers: [(content: Container, next: Int)] = []

  init(style: JSONStyle, sortsKeys: Bool, ensuresASCII: Bool) {
    (self.sortsKeys, self.ensuresASCII) = (sortsKeys, ensuresASCII)
    switch style {
    case .python: (itemSeparator, keySeparator, indent) = (Array(", ".utf8), Array(": ".utf8), nil)
    case .compact: (itemSeparator, keySeparator, indent) = (Array(",".utf8), Array(":".utf8), nil)
    case .indented(let width):
      (itemSeparator, keySeparator, indent) = (Array(",".utf8), Array(": ".utf8), max(0, width))
    }
  }

  mutating func write(_ root: JSON) {
    open(root)
    while let (content, next) = containers.last {
      guard next < content.count else {
        containers.removeLast()
        breakLine()
        if case .array = content { output.append(0x5D) } else { output.append(0x7D) }
        continue
      }
      containers[containers.count - 1].next += 1
      if next > 0 { output.append(contentsOf: itemSeparator) }
      breakLine()
      switch content {
      case .array(let elements): open(elements[next])
      case .object(let object, let order):
        let pair = object[order?[next] ?? next]
        write(string: pair.key)
        output.append(contentsOf: keySeparator)
        open(pair.value)
      }
    }
  }

  /// Writes a scalar or an empty container whole, and the opening bracket of any other.
  private mutating func open(_ value: JSON) {
    switch value {
    case .null: output.append(contentsOf: "null".utf8)
    case .bool(let value): output.append(contentsOf: (value ? "true" : "false").utf8)
    case .integer(let value): output.append(contentsOf: String(value).utf8)
    case .bigInteger(let digits): output.append(contentsOf: digits.utf8)
    case .number(let value):
      output.append(contentsOf: JSON.pythonRepresentation(of: value).utf8)
    case .string(let text): write(string: text)
    case .array(let elements):
      output.append(0x5B)
      if elements.isEmpty { output.append(0x5D) } else { containers.append((.array(elements), 0)) }
    case .object(let object):
      output.append(0x7B)
      if object.isEmpty {
        output.append(0x7D)
      } else {
        var order: [Int]?
        if sortsKeys {
          let keys = object.keys.map { Array($0.utf8) }
          order = keys.indices.sorted { keys[$0].lexicographicallyPrecedes(keys[$1]) }
        }
        containers.append((.object(object, order: order), 0))
      }
    }
  }

  private mutating func breakLine() {
    guard let indent else { return }
    output.append(0x0A)
    output.append(contentsOf: repeatElement(0x20, count: indent * containers.count))
  }

  mutating func write(string text: String) {
    output.append(0x22)
    if ensuresASCII {
      for unit in text.utf16 {
        if unit >= 0x20, unit < 0x7F, unit != 0x22, unit != 0x5C {
          output.append(UInt8(unit))
        } else {
          escape(unit)
        }
      }
    } else {
      for byte in text.utf8 {
        if byte >= 0x20, byte != 0x22, byte != 0x5C {
          output.append(byte)
        } else {
          escape(UInt16(byte))
        }
      }
    }
    output.append(0x22)
  }

  private mutating func escape(_ unit: UInt16) {
    output.append(0x5C)
    switch unit {
    case 0x22, 0x5C: output.append(UInt8(unit))
    case 0x08: output.append(0x62)
    case 0x0C: output.append(0x66)
    case 0x0A: output.append(0x6E)
    case 0x0D: output.append(0x72)
    case 0x09: output.append(0x74)
    default:
      output.append(0x75)
      for shift in [12, 8, 4, 0] as [UInt16] {
        let digit = UInt8(unit >> shift & 0xF)
        output.append(digit < 10 ? 0x30 + digit : 0x61 + digit - 10)
      }
    }
  }
}
