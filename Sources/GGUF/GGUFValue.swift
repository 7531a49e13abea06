// The values of a GGUF file's metadata.

/// A value of a key in the metadata, in one of the format's types.
package enum GGUFValue: Sendable, Hashable {
  case uint8(UInt8), int8(Int8), uint16(UInt16), int16(Int16)
  case uint32(UInt32), int32(Int32), uint64(UInt64), int64(Int64)
  case float32(Float), float64(Double), bool(Bool), string(String)
  /// An array of strings.
  case strings([String])
  /// An array of 32-bit integers.
  case int32s([Int32])
  /// An array of any other type; its elements have one case.
  case array([GGUFValue])

  /// The numbers by which the format calls the types.
  enum Code: UInt32 {
    case uint8 = 0
    case int8, uint16, int16, uint32, int32, float32, bool, string, array, uint64, int64, float64

    /// The fewest bytes that a value takes.
    var minimumByteCount: Int {
      switch self {
      case .uint8, .int8, .bool: 1
      case .uint16, .int16: 2
      case .uint32, .int32, .float32: 4
      case .string, .uint64, .int64, .float64: 8
      case .array: 12
      }
    }
  }

  var code: Code {
    switch self {
    case .uint8: .uint8
    case .int8: .int8
    case .uint16: .uint16
    case .int16: .int16
    case .uint32: .uint32
    case .int32: .int32
    case .uint64: .uint64
    case .int64: .int64
    case .float32: .float32
    case .float64: .float64
    case .bool: .bool
    case .string: .string
    case .strings, .int32s, .array: .array
    }
  }

  /// The value as an integer; nil where it is none, or too large.
  package var integerValue: Int? {
    switch self {
    case .uint8(let value): Int(value)
    case .int8(let value): Int(value)
    case .uint16(let value): Int(value)
    case .int16(let value): Int(value)
    case .uint32(let value): Int(value)
    case .int32(let value): Int(value)
    case .uint64(let value): Int(exactly: value)
    case .int64(let value): Int(exactly: value)
    default: nil
    }
  }

  /// The value as a number; nil where it is none.
  package var doubleValue: Double? {
    switch self {
    case .float32(let value): Double(value)
    case .float64(let value): value
    default: integerValue.map { Double($0) }
    }
  }

  /// The value as a text; nil where it is none.
  package var stringValue: String? {
    if case .string(let value) = self { value } else { nil }
  }

  /// The value as a truth value; nil where it is none.
  package var boolValue: Bool? {
    if case .bool(let value) = self { value } else { nil }
  }

  /// The value as texts; nil where it is none.
  package var stringsValue: [String]? {
    if case .strings(let values) = self { values } else { nil }
  }

  /// The value as 32-bit integers; nil where it is none.
  package var int32sValue: [Int32]? {
    if case .int32s(let values) = self { values } else { nil }
  }

  /// Appends the bytes of the value, without its type.
  func append(to bytes: inout [UInt8]) {
    switch self {
    case .uint8(let value): bytes.append(value)
    case .int8(let value): bytes.append(UInt8(bitPattern: value))
    case .uint16(let value): bytes.appendLittleEndian(value)
    case .int16(let value): bytes.appendLittleEndian(value)
    case .uint32(let value): bytes.appendLittleEndian(value)
    case .int32(let value): bytes.appendLittleEndian(value)
    case .uint64(let value): bytes.appendLittleEndian(value)
    case .int64(let value): bytes.appendLittleEndian(value)
    case .float32(let value): bytes.appendLittleEndian(value.bitPattern)
    case .float64(let value): bytes.appendLittleEndian(value.bitPattern)
    case .bool(let value): bytes.append(value ? 1 : 0)
    case .string(let value): bytes.appendText(value)
    case .strings(let values):
      bytes.appendArrayHead(.string, values.count)
      for value in values { bytes.appendText(value) }
    case .int32s(let values):
      bytes.appendArrayHead(.int32, values.count)
      for value in values { bytes.appendLittleEndian(value) }
    case .array(let values):
      bytes.appendArrayHead(values.first?.code ?? .uint8, values.count)
      for value in values { value.append(to: &bytes) }
    }
  }
}

extension [UInt8] {
  /// Appends the bytes of an integer, the lowest first.
  mutating func appendLittleEndian(_ value: some FixedWidthInteger) {
    var rest = value
    for _ in 0..<(value.bitWidth / 8) {
      append(UInt8(truncatingIfNeeded: rest))
      rest >>= 8
    }
  }

  /// Appends a text as the format has it: length, then UTF-8.
  mutating func appendText(_ text: String) {
    appendLittleEndian(UInt64(text.utf8.count))
    append(contentsOf: text.utf8)
  }

  fileprivate mutating func appendArrayHead(_ code: GGUFValue.Code, _ count: Int) {
    appendLittleEndian(code.rawValue)
    appendLittleEndian(UInt64(count))
  }
}
