// Numbers for people.

/// `value` with `digits` decimals, rounded to nearest; "nan" and "inf" as they are.
package func fixed(_ value: Double, digits: Int) -> String {
  guard value.isFinite else { return value.isNaN ? "nan" : value < 0 ? "-inf" : "inf" }
  var scale = 1.0
  for _ in 0..<digits { scale *= 10 }
  let scaled = (value.magnitude * scale).rounded(.toNearestOrEven)
  guard scaled < 9e15 else { return "\(value)" }
  let number = Int(scaled)
  let text = String(number)
  let padded = String(repeating: "0", count: max(0, digits + 1 - text.utf8.count)) + text
  let sign = value < 0 && number != 0 ? "-" : ""
  guard digits > 0 else { return sign + padded }
  return sign + padded.dropLast(digits) + "." + padded.suffix(digits)
}

/// `seconds` as "59s", "4m05s", "2h03m" or "3d04h".
package func duration(_ seconds: Double) -> String {
  guard seconds.isFinite, seconds >= 0, seconds < 1e9 else { return "?" }
  let total = Int(seconds.rounded())
  func two(_ value: Int) -> String { value < 10 ? "0\(value)" : "\(value)" }
  if total < 60 { return "\(total)s" }
  if total < 3600 { return "\(total / 60)m\(two(total % 60))s" }
  if total < 86_400 { return "\(total / 3600)h\(two(total % 3600 / 60))m" }
  return "\(total / 86_400)d\(two(total % 86_400 / 3600))h"
}

/// `value` with four significant digits, in the exponent form below 0.001 and from a million on.
package func significant(_ value: Double) -> String {
  guard value.isFinite, value != 0 else { return value == 0 ? "0" : fixed(value, digits: 0) }
  var exponent = 0
  var mantissa = value.magnitude
  while mantissa >= 9.9995, exponent < 400 {
    mantissa /= 10
    exponent += 1
  }
  while mantissa < 0.99995, exponent > -400 {
    mantissa *= 10
    exponent -= 1
  }
  if (-3..<6).contains(exponent) {
    let text = fixed(value, digits: max(0, 3 - exponent))
    return withoutTrailingZeros(text)
  }
  let sign = value < 0 ? "-" : ""
  return sign + withoutTrailingZeros(fixed(mantissa, digits: 3)) + "e\(exponent)"
}

/// `value` with a comma between groups of three digits.
package func grouped(_ value: Int) -> String {
  let digits = Array(String(value.magnitude))
  var text = value < 0 ? "-" : ""
  for (index, digit) in digits.enumerated() {
    if index > 0, (digits.count - index).isMultiple(of: 3) { text.append(",") }
    text.append(digit)
  }
  return text
}

private func withoutTrailingZeros(_ text: String) -> String {
  guard text.contains(".") else { return text }
  var text = text[...]
  while text.last == "0" { text.removeLast() }
  if text.last == "." { text.removeLast() }
  return String(text)
}
