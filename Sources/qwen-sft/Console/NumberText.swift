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
