// Integers beyond Int, as Python has them: sign and magnitude, schoolbook arithmetic. Only what templates
// and exact float formatting need; callers bound the sizes, so nothing here is tuned for huge numbers.

/// An arbitrary-precision integer.
struct BigInteger: Equatable, Sendable {
  /// Limbs of 32 bits, lowest first, without leading zero limbs; empty is zero.
  private(set) var magnitude: [UInt32]
  private(set) var isNegative: Bool

  init(_ value: Int) {
    var rest = value.magnitude
    magnitude = []
    while rest != 0 {
      magnitude.append(UInt32(truncatingIfNeeded: rest))
      rest >>= 32
    }
    isNegative = value < 0
  }

  init(magnitude: [UInt32], isNegative: Bool) {
    var limbs = magnitude
    while limbs.last == 0 { limbs.removeLast() }
    self.magnitude = limbs
    self.isNegative = isNegative && !limbs.isEmpty
  }

  /// Reads digits of `radix` (2...36), with an optional sign; nil when there is anything else.
  init?(_ text: [UInt8], radix: UInt32 = 10) {
    var digits = text[...]
    var negative = false
    if let sign = digits.first, sign == 0x2D || sign == 0x2B {
      negative = sign == 0x2D
      digits = digits.dropFirst()
    }
    guard !digits.isEmpty else { return nil }
    var limbs: [UInt32] = []
    for byte in digits {
      let digit: UInt32
      switch byte {
      case 0x30...0x39: digit = UInt32(byte - 0x30)
      case 0x41...0x5A: digit = UInt32(byte - 0x41) + 10
      case 0x61...0x7A: digit = UInt32(byte - 0x61) + 10
      default: return nil
      }
      guard digit < radix else { return nil }
      Self.multiplyAdd(&limbs, radix, digit)
    }
    self.init(magnitude: limbs, isNegative: negative)
  }

  /// The value as Int, when it fits.
  var int: Int? {
    guard magnitude.count <= 2 else { return nil }
    var value: UInt = 0
    for limb in magnitude.reversed() { value = value << 32 | UInt(limb) }
    if isNegative { return value <= Int.min.magnitude ? Int(truncatingIfNeeded: 0 &- value) : nil }
    return value <= UInt(Int.max) ? Int(value) : nil
  }

  var isZero: Bool { magnitude.isEmpty }
  var isOdd: Bool { (magnitude.first ?? 0) & 1 == 1 }

  /// Number of bits of the magnitude.
  var bitCount: Int {
    guard let top = magnitude.last else { return 0 }
    return magnitude.count * 32 - top.leadingZeroBitCount
  }

  /// Decimal digits with a minus sign where negative.
  var decimal: [UInt8] { digits(radix: 10) }

  /// Digits in `radix` (2...36), lower case, with a minus sign where negative.
  func digits(radix: UInt32) -> [UInt8] {
    if magnitude.isEmpty { return [0x30] }
    // Several digits at a time: the largest power of the radix that fits a limb.
    var chunk = radix
    var width = 1
    while UInt64(chunk) * UInt64(radix) <= UInt64(UInt32.max) {
      chunk *= radix
      width += 1
    }
    var limbs = magnitude
    var reversed: [UInt8] = []
    while !limbs.isEmpty {
      var rest = Self.divide(&limbs, by: chunk)
      for _ in 0..<width {
        if limbs.isEmpty && rest == 0 { break }
        let digit = UInt8(rest % radix)
        reversed.append(digit < 10 ? 0x30 + digit : 0x57 + digit)
        rest /= radix
      }
    }
    if isNegative { reversed.append(0x2D) }
    return reversed.reversed()
  }

  /// The nearest Double (ties to even), infinite where too large.
  var double: Double {
    let bits = bitCount
    if bits <= 64 {
      var value: UInt64 = 0
      for limb in magnitude.reversed() { value = value << 32 | UInt64(limb) }
      return isNegative ? -Double(value) : Double(value)
    }
    if bits > 1100 { return isNegative ? -.infinity : .infinity }
    // The top 64 bits with a sticky last bit round as the whole number does.
    let shift = bits - 64
    let top = shiftedRight(shift)
    var value: UInt64 = 0
    for limb in top.magnitude.reversed() { value = value << 32 | UInt64(limb) }
    if top.shiftedLeft(shift).magnitude != magnitude { value |= 1 }
    let result = Double(sign: .plus, exponent: shift, significand: Double(value))
    return isNegative ? -result : result
  }

  /// The integer part of a finite double.
  init(truncating value: Double) {
    if let small = Int(exactly: value.rounded(.towardZero)) {
      self.init(small)
      return
    }
    let exponent = Int(value.exponent) - 52
    let mantissa = BigInteger(Int(value.significandBitPattern | 1 << 52))
    self = exponent >= 0 ? mantissa.shiftedLeft(exponent) : mantissa.shiftedRight(-exponent)
    isNegative = value < 0 && !magnitude.isEmpty
  }

  static prefix func - (x: BigInteger) -> BigInteger {
    BigInteger(magnitude: x.magnitude, isNegative: !x.isNegative)
  }

  static func + (a: BigInteger, b: BigInteger) -> BigInteger {
    if a.isNegative == b.isNegative {
      return BigInteger(magnitude: add(a.magnitude, b.magnitude), isNegative: a.isNegative)
    }
    if compare(a.magnitude, b.magnitude) >= 0 {
      return BigInteger(magnitude: subtract(a.magnitude, b.magnitude), isNegative: a.isNegative)
    }
    return BigInteger(magnitude: subtract(b.magnitude, a.magnitude), isNegative: b.isNegative)
  }

  static func - (a: BigInteger, b: BigInteger) -> BigInteger { a + -b }

  static func * (a: BigInteger, b: BigInteger) -> BigInteger {
    if a.isZero || b.isZero { return BigInteger(0) }
    var limbs = [UInt32](repeating: 0, count: a.magnitude.count + b.magnitude.count)
    for (i, x) in a.magnitude.enumerated() {
      var carry: UInt64 = 0
      for (j, y) in b.magnitude.enumerated() {
        let sum = UInt64(x) * UInt64(y) + UInt64(limbs[i + j]) + carry
        limbs[i + j] = UInt32(truncatingIfNeeded: sum)
        carry = sum >> 32
      }
      limbs[i + b.magnitude.count] = UInt32(carry)
    }
    return BigInteger(magnitude: limbs, isNegative: a.isNegative != b.isNegative)
  }

  /// Quotient rounded down and remainder with the divisor's sign, as Python; the divisor is not zero.
  func dividedFloor(by divisor: BigInteger) -> (quotient: BigInteger, remainder: BigInteger) {
    let (q, r) = Self.divide(magnitude, by: divisor.magnitude)
    var quotient = BigInteger(magnitude: q, isNegative: isNegative != divisor.isNegative)
    var remainder = BigInteger(magnitude: r, isNegative: isNegative)
    if !remainder.isZero && isNegative != divisor.isNegative {
      quotient = quotient - BigInteger(1)
      remainder = remainder + divisor
    }
    return (quotient, remainder)
  }

  func shiftedLeft(_ count: Int) -> BigInteger {
    if isZero { return self }
    var limbs = [UInt32](repeating: 0, count: count / 32)
    let bits = UInt64(count % 32)
    var carry: UInt64 = 0
    for limb in magnitude {
      let wide = UInt64(limb) << bits | carry
      limbs.append(UInt32(truncatingIfNeeded: wide))
      carry = wide >> 32
    }
    limbs.append(UInt32(carry))
    return BigInteger(magnitude: limbs, isNegative: isNegative)
  }

  /// The magnitude shifted down, bits falling off.
  func shiftedRight(_ count: Int) -> BigInteger {
    let skipped = count / 32
    guard skipped < magnitude.count else { return BigInteger(0) }
    let bits = UInt64(count % 32)
    var limbs: [UInt32] = []
    for i in skipped..<magnitude.count {
      let high = i + 1 < magnitude.count ? UInt64(magnitude[i + 1]) : 0
      limbs.append(UInt32(truncatingIfNeeded: (high << 32 | UInt64(magnitude[i])) >> bits))
    }
    return BigInteger(magnitude: limbs, isNegative: isNegative)
  }

  /// self to a small non-negative power.
  func power(_ exponent: Int) -> BigInteger {
    var (base, result, rest) = (self, BigInteger(1), exponent)
    while rest > 0 {
      if rest & 1 == 1 { result = result * base }
      rest >>= 1
      if rest > 0 { base = base * base }
    }
    return result
  }

  /// −1, 0 or 1.
  static func compare(_ a: BigInteger, _ b: BigInteger) -> Int {
    if a.isNegative != b.isNegative { return a.isNegative ? -1 : 1 }
    let order = compare(a.magnitude, b.magnitude)
    return a.isNegative ? -order : order
  }

  private static func compare(_ a: [UInt32], _ b: [UInt32]) -> Int {
    if a.count != b.count { return a.count < b.count ? -1 : 1 }
    for i in a.indices.reversed() where a[i] != b[i] { return a[i] < b[i] ? -1 : 1 }
    return 0
  }

  private static func add(_ a: [UInt32], _ b: [UInt32]) -> [UInt32] {
    var limbs: [UInt32] = []
    var carry: UInt64 = 0
    for i in 0..<max(a.count, b.count) {
      let sum = carry + (i < a.count ? UInt64(a[i]) : 0) + (i < b.count ? UInt64(b[i]) : 0)
      limbs.append(UInt32(truncatingIfNeeded: sum))
      carry = sum >> 32
    }
    limbs.append(UInt32(carry))
    return limbs
  }

  /// a − b for a ≥ b.
  private static func subtract(_ a: [UInt32], _ b: [UInt32]) -> [UInt32] {
    var limbs = a
    var borrow: Int64 = 0
    for i in a.indices {
      var difference = Int64(a[i]) - borrow - (i < b.count ? Int64(b[i]) : 0)
      borrow = difference < 0 ? 1 : 0
      if difference < 0 { difference += 1 << 32 }
      limbs[i] = UInt32(difference)
    }
    return limbs
  }

  private static func multiplyAdd(_ limbs: inout [UInt32], _ factor: UInt32, _ summand: UInt32) {
    var carry = UInt64(summand)
    for i in limbs.indices {
      let wide = UInt64(limbs[i]) * UInt64(factor) + carry
      limbs[i] = UInt32(truncatingIfNeeded: wide)
      carry = wide >> 32
    }
    if carry != 0 { limbs.append(UInt32(carry)) }
  }

  /// Divides in place by one limb and returns the remainder.
  private static func divide(_ limbs: inout [UInt32], by divisor: UInt32) -> UInt32 {
    var remainder: UInt64 = 0
    for i in limbs.indices.reversed() {
      let wide = remainder << 32 | UInt64(limbs[i])
      limbs[i] = UInt32(wide / UInt64(divisor))
      remainder = wide % UInt64(divisor)
    }
    while limbs.last == 0 { limbs.removeLast() }
    return UInt32(remainder)
  }

  /// Magnitude division by Knuth's algorithm D.
  private static func divide(_ a: [UInt32], by b: [UInt32]) -> (q: [UInt32], r: [UInt32]) {
    if compare(a, b) < 0 { return ([], a) }
    if b.count == 1 {
      var quotient = a
      let remainder = divide(&quotient, by: b[0])
      return (quotient, remainder == 0 ? [] : [remainder])
    }
    let shift = b[b.count - 1].leadingZeroBitCount
    let divisor = BigInteger(magnitude: b, isNegative: false).shiftedLeft(shift).magnitude
    var rest = BigInteger(magnitude: a, isNegative: false).shiftedLeft(shift).magnitude
    while rest.count <= a.count { rest.append(0) }
    let n = divisor.count
    let (top, next) = (UInt64(divisor[n - 1]), UInt64(divisor[n - 2]))
    var quotient = [UInt32](repeating: 0, count: rest.count - n)
    for j in quotient.indices.reversed() {
      let head = UInt64(rest[j + n]) << 32 | UInt64(rest[j + n - 1])
      var digit = head / top
      var remainder = head % top
      while digit >> 32 != 0 || digit * next > (remainder << 32 | UInt64(rest[j + n - 2])) {
        digit -= 1
        remainder += top
        if remainder >> 32 != 0 { break }
      }
      var borrow: Int64 = 0
      var carry: UInt64 = 0
      for i in 0..<n {
        let product = digit * UInt64(divisor[i]) + carry
        carry = product >> 32
        let difference = Int64(rest[i + j]) - borrow - Int64(product & 0xFFFF_FFFF)
        rest[i + j] = UInt32(truncatingIfNeeded: difference)
        borrow = difference < 0 ? 1 : 0
      }
      let difference = Int64(rest[j + n]) - borrow - Int64(carry)
      rest[j + n] = UInt32(truncatingIfNeeded: difference)
      if difference < 0 {
        digit -= 1
        var sum: UInt64 = 0
        for i in 0..<n {
          sum += UInt64(rest[i + j]) + UInt64(divisor[i])
          rest[i + j] = UInt32(truncatingIfNeeded: sum)
          sum >>= 32
        }
        rest[j + n] = UInt32(truncatingIfNeeded: UInt64(rest[j + n]) + sum)
      }
      quotient[j] = UInt32(digit)
    }
    let remainder = BigInteger(magnitude: rest, isNegative: false).shiftedRight(shift)
    return (quotient, remainder.magnitude)
  }
}
