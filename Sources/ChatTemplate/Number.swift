// Python's numbers: integers of any size and floats, with bool as the integers 0 and 1. Arithmetic, order
// and conversion; text forms are in FloatText.swift.

/// A number.
enum Number {
  case int(Int)
  case big(BigInteger)
  case double(Double)

  /// Nil for values that are not numbers.
  init?(_ value: Value) {
    switch value.kind {
    case .bool(let flag): self = .int(flag ? 1 : 0)
    case .int(let number): self = .int(number)
    case .big(let number): self = .big(number)
    case .double(let number): self = .double(number)
    default: return nil
    }
  }

  /// The number as a value.
  var value: Value {
    switch self {
    case .int(let number): .int(number)
    case .big(let number): .integer(number)
    case .double(let number): .double(number)
    }
  }

  /// The integer as a big one; nil for floats.
  var big: BigInteger? {
    switch self {
    case .int(let number): BigInteger(number)
    case .big(let number): number
    case .double: nil
    }
  }

  /// The nearest float.
  var double: Double {
    switch self {
    case .int(let number): Double(number)
    case .big(let number): number.double
    case .double(let number): number
    }
  }

  /// The value where it is exactly an Int.
  var exactInt: Int? {
    switch self {
    case .int(let number): number
    case .big: nil
    case .double(let number): Int(exactly: number)
    }
  }

  /// −1, 0, 1, exact also between integers and floats; nil with NaN.
  static func compare(_ a: Number, _ b: Number) -> Int? {
    switch (a, b) {
    case (.int(let x), .int(let y)): return x == y ? 0 : x < y ? -1 : 1
    case (.double(let x), .double(let y)):
      if x.isNaN || y.isNaN { return nil }
      return x == y ? 0 : x < y ? -1 : 1
    case (.double(let x), _):
      if x.isNaN { return nil }
      if x.isInfinite { return x < 0 ? -1 : 1 }
      guard let y = b.big else { return nil }
      let order = BigInteger.compare(BigInteger(truncating: x), y)
      if order != 0 { return order }
      let fraction = x - x.rounded(.towardZero)
      return fraction == 0 ? 0 : fraction < 0 ? -1 : 1
    case (_, .double): return compare(b, a).map { -$0 }
    default:
      guard let x = a.big, let y = b.big else { return nil }
      return BigInteger.compare(x, y)
    }
  }
}

extension Interpreter {
  /// Arithmetic on two numbers.
  func arithmetic(_ operation: BinaryOperator, _ a: Number, _ b: Number) throws(Fault) -> Value {
    if case .int(let x) = a, case .int(let y) = b, let result = small(operation, x, y) {
      return .int(result)
    }
    if let x = a.big, let y = b.big { return try integral(operation, x, y) }
    let (x, y) = (a.double, b.double)
    if (x.isInfinite && a.big != nil) || (y.isInfinite && b.big != nil) {
      throw Fault(.overflow, "int too large to convert to float")
    }
    switch operation {
    case .add: return .double(x + y)
    case .subtract: return .double(x - y)
    case .multiply: return .double(x * y)
    case .divide:
      if y == 0 { throw Fault(.zeroDivision, "float division by zero") }
      return .double(x / y)
    case .floorDivide:
      if y == 0 { throw Fault(.zeroDivision, "float floor division by zero") }
      return .double(Self.floatDivMod(x, y).quotient)
    case .modulo:
      if y == 0 { throw Fault(.zeroDivision, "float modulo") }
      return .double(Self.floatDivMod(x, y).remainder)
    case .power: return try floatPower(x, y)
    }
  }

  /// Python's float `divmod`.
  private static func floatDivMod(_ x: Double, _ y: Double) -> (quotient: Double, remainder: Double)
  {
    var remainder = x.truncatingRemainder(dividingBy: y)
    var quotient = (x - remainder) / y
    if remainder != 0 {
      if (y < 0) != (remainder < 0) {
        remainder += y
        quotient -= 1
      }
    } else {
      remainder = Double(signOf: y, magnitudeOf: 0)
    }
    if quotient != 0 {
      let floor = quotient.rounded(.down)
      quotient = quotient - floor > 0.5 ? floor + 1 : floor
    } else {
      quotient = Double(signOf: x / y, magnitudeOf: 0)
    }
    return (quotient, remainder)
  }

  /// Int arithmetic where the result fits.
  private func small(_ operation: BinaryOperator, _ x: Int, _ y: Int) -> Int? {
    switch operation {
    case .add:
      let (result, overflow) = x.addingReportingOverflow(y)
      return overflow ? nil : result
    case .subtract:
      let (result, overflow) = x.subtractingReportingOverflow(y)
      return overflow ? nil : result
    case .multiply:
      let (result, overflow) = x.multipliedReportingOverflow(by: y)
      return overflow ? nil : result
    case .floorDivide:
      if y == 0 || (x == .min && y == -1) { return nil }
      let quotient = x / y
      return x % y != 0 && (x < 0) != (y < 0) ? quotient - 1 : quotient
    case .modulo:
      if y == 0 || (x == .min && y == -1) { return nil }
      let remainder = x % y
      return remainder != 0 && (remainder < 0) != (y < 0) ? remainder + y : remainder
    case .divide, .power: return nil
    }
  }

  private func integral(
    _ operation: BinaryOperator, _ x: BigInteger, _ y: BigInteger
  ) throws(Fault) -> Value {
    try budget.step((x.magnitude.count + 1) * (y.magnitude.count + 1))
    switch operation {
    case .add: return try bounded(x + y)
    case .subtract: return try bounded(x - y)
    case .multiply: return try bounded(x * y)
    case .divide:
      if y.isZero { throw Fault(.zeroDivision, "division by zero") }
      return .double(try trueQuotient(x, y))
    case .floorDivide, .modulo:
      if y.isZero { throw Fault(.zeroDivision, "integer division or modulo by zero") }
      let (quotient, remainder) = x.dividedFloor(by: y)
      return .integer(operation == .modulo ? remainder : quotient)
    case .power:
      if y.isNegative {
        if x.isZero { throw Fault(.zeroDivision, "0.0 cannot be raised to a negative power") }
        return try floatPower(x.double, y.double)
      }
      if x == BigInteger(0) || x == BigInteger(1) { return .integer(y.isZero ? BigInteger(1) : x) }
      if x == BigInteger(-1) { return .int(y.isOdd ? -1 : 1) }
      guard let exponent = y.int,
        x.bitCount.multipliedReportingOverflow(by: exponent).overflow == false,
        (x.bitCount - 1) * exponent <= budget.limits.integerBits
      else { throw Fault.limit("bits of an integer", budget.limits.integerBits) }
      try budget.step(x.bitCount * exponent / 32 * (x.bitCount * exponent / 32) / 8)
      return try bounded(x.power(exponent))
    }
  }

  private func bounded(_ value: BigInteger) throws(Fault) -> Value {
    guard value.bitCount <= budget.limits.integerBits else {
      throw Fault.limit("bits of an integer", budget.limits.integerBits)
    }
    try budget.allocate(value.magnitude.count * 4)
    return .integer(value)
  }

  /// The quotient of integers, rounded once.
  private func trueQuotient(_ x: BigInteger, _ y: BigInteger) throws(Fault) -> Double {
    if x.bitCount <= 53 && y.bitCount <= 53 { return x.double / y.double }
    // Scale the quotient to 66 bits or more, with a sticky last bit for what was cut off.
    let shift = max(0, 66 - (x.bitCount - y.bitCount))
    let numerator = BigInteger(magnitude: x.magnitude, isNegative: false).shiftedLeft(shift)
    let denominator = BigInteger(magnitude: y.magnitude, isNegative: false)
    let (floor, remainder) = numerator.dividedFloor(by: denominator)
    let quotient = !remainder.isZero && !floor.isOdd ? floor + BigInteger(1) : floor
    // 66 bits and more reach Double in one rounding, the scaling is exact outside subnormals.
    let extra = quotient.bitCount - 66
    let result = quotient.double * Double(sign: .plus, exponent: max(-1000, -shift), significand: 1)
    if !result.isFinite || extra > 1100 {
      throw Fault(.overflow, "integer division result too large for a float")
    }
    return x.isNegative != y.isNegative ? -result : result
  }

  private func floatPower(_ x: Double, _ y: Double) throws(Fault) -> Value {
    if x == 0 && y < 0 {
      throw Fault(.zeroDivision, "0.0 cannot be raised to a negative power")
    }
    if x < 0 && x.isFinite && y.isFinite && y != y.rounded() {
      throw Fault(.notSupported, "complex numbers are not supported")
    }
    let result = FloatText.power(x, y)
    if result.isInfinite && x.isFinite && y.isFinite {
      throw Fault(.overflow, "(34, 'Numerical result out of range')")
    }
    return .double(result)
  }
}
