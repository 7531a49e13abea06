// Text of floats as Python writes it: the shortest repr, and exactly rounded decimals for formatting and
// `round`. Exactness comes from big integers, not from the C library.

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif
import OrderedJSON

/// Decimal forms of floats.
enum FloatText {
  /// `repr(float)`.
  static func repr(_ value: Double) -> String {
    if value.isNaN { return "nan" }
    if value.isInfinite { return value < 0 ? "-inf" : "inf" }
    return JSON.pythonRepresentation(of: value)
  }

  /// x to the power y.
  static func power(_ x: Double, _ y: Double) -> Double { pow(x, y) }

  /// |value| · 10^`decimals` rounded half to even, as digits; exact.
  static func scaledDigits(_ value: Double, decimals: Int) -> [UInt8] {
    rounded(value.magnitude, decimals: decimals).decimal
  }

  private static func rounded(_ value: Double, decimals: Int) -> BigInteger {
    // value = mantissa · 2^exponent
    if value == 0 { return BigInteger(0) }
    let exponent = max(Int(value.exponent), -1022) - 52
    let bits = value.significandBitPattern | (value.isNormal ? 1 << 52 : 0)
    var numerator = BigInteger(Int(bits))
    var denominator = BigInteger(1)
    if exponent >= 0 {
      numerator = numerator.shiftedLeft(exponent)
    } else {
      denominator = denominator.shiftedLeft(-exponent)
    }
    let ten = BigInteger(10).power(abs(decimals))
    if decimals >= 0 { numerator = numerator * ten } else { denominator = denominator * ten }
    let (quotient, remainder) = numerator.dividedFloor(by: denominator)
    let order = BigInteger.compare(remainder + remainder, denominator)
    return order > 0 || (order == 0 && quotient.isOdd) ? quotient + BigInteger(1) : quotient
  }

  /// `%.{decimals}f` of a finite magnitude.
  static func fixed(_ value: Double, decimals: Int) -> String {
    var digits = scaledDigits(value, decimals: decimals)
    while digits.count <= decimals { digits.insert(0x30, at: 0) }
    if decimals > 0 { digits.insert(0x2E, at: digits.count - decimals) }
    return String(decoding: digits, as: UTF8.self)
  }

  /// `count` significant digits of a finite magnitude and the exponent of the first.
  static func significant(_ value: Double, count: Int) -> (digits: [UInt8], exponent: Int) {
    if value == 0 { return ([UInt8](repeating: 0x30, count: count), 0) }
    var exponent = Int(log10(value.magnitude).rounded(.down))
    while true {
      let digits = scaledDigits(value, decimals: count - 1 - exponent)
      if digits.count > count {
        exponent += 1
      } else if digits.count < count {
        exponent -= 1
      } else {
        return (digits, exponent)
      }
    }
  }

  /// `%.{decimals}e` of a finite magnitude.
  static func scientific(_ value: Double, decimals: Int) -> String {
    let (digits, exponent) = significant(value, count: decimals + 1)
    return mantissa(digits) + exponentSuffix(exponent)
  }

  private static func mantissa(_ digits: [UInt8]) -> String {
    var text = digits
    if text.count > 1 { text.insert(0x2E, at: 1) }
    return String(decoding: text, as: UTF8.self)
  }

  private static func exponentSuffix(_ exponent: Int) -> String {
    let magnitude = String(abs(exponent))
    return "e" + (exponent < 0 ? "-" : "+") + (magnitude.utf8.count < 2 ? "0" : "") + magnitude
  }

  /// `%.{precision}g` of a finite magnitude; `keepsZeros` is the alternate form.
  static func general(_ value: Double, precision: Int, keepsZeros: Bool = false) -> String {
    let count = max(precision, 1)
    let (all, exponent) = significant(value, count: count)
    var digits = all
    if !keepsZeros { while digits.count > 1, digits.last == 0x30 { digits.removeLast() } }
    if exponent < -4 || exponent >= count { return mantissa(digits) + exponentSuffix(exponent) }
    if exponent < 0 {
      let zeros = [UInt8](repeating: 0x30, count: -exponent - 1)
      return "0." + String(decoding: zeros + digits, as: UTF8.self)
    }
    while digits.count < exponent + 1 { digits.append(0x30) }
    if digits.count > exponent + 1 { digits.insert(0x2E, at: exponent + 1) }
    return String(decoding: digits, as: UTF8.self)
  }

  /// `round(value, decimals)` for a finite value.
  static func round(_ value: Double, decimals: Int) -> Double {
    if decimals > 330 || value == 0 { return value }
    if decimals < -310 { return Double(signOf: value, magnitudeOf: 0) }
    let digits = scaledDigits(value, decimals: decimals)
    let text = String(decoding: digits, as: UTF8.self) + "e\(-decimals)"
    return Double(signOf: value, magnitudeOf: Double(text) ?? value.magnitude)
  }

  /// Reads a number as `float(str)` does; nil where it would fail.
  static func parse(_ text: Text) -> Double? {
    var bytes: [UInt8] = []
    let trimmed = text.stripped().bytes
    for (i, byte) in trimmed.enumerated() {
      if byte == 0x5F {
        guard i > 0, trimmed[i - 1].isDigit, i + 1 < trimmed.count, trimmed[i + 1].isDigit else {
          return nil
        }
        continue
      }
      bytes.append(byte | (0x41...0x5A ~= byte ? 0x20 : 0))
    }
    var body = bytes[...]
    var sign = 1.0
    if let first = body.first, first == 0x2B || first == 0x2D {
      sign = first == 0x2D ? -1 : 1
      body = body.dropFirst()
    }
    let word = String(decoding: body, as: UTF8.self)
    switch word {
    case "inf", "infinity": return sign * .infinity
    case "nan": return .nan
    default: break
    }
    guard let first = body.first, first.isDigit || first == 0x2E, !body.contains(0x78) else {
      return nil
    }
    var number = word
    if body.first == 0x2E { number = "0" + number }
    // Swift wants a digit after the point, Python does not.
    if let point = number.firstIndex(of: ".") {
      let after = number.index(after: point)
      if after == number.endIndex || number[after] == "e" {
        guard body.first != 0x2E else { return nil }
        number.replaceSubrange(point..<after, with: ".0")
      }
    }
    for byte in number.utf8 where !byte.isDigit && ![0x2E, 0x65, 0x2B, 0x2D].contains(byte) {
      return nil
    }
    return Double(number).map { $0 * sign }
  }
}
