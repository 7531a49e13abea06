// Protocol buffers, as far as an event file needs them: four small messages that are only ever written. A dependency
// for that would cost every build of the program more than these lines.

/// The bytes of a message being written, field by field.
struct ProtobufMessage {
  /// The encoded fields so far.
  private(set) var bytes: [UInt8] = []

  /// Appends an integer, enum or truth value: a varint.
  mutating func add(_ field: UInt8, varint value: Int64) {
    key(field, wireType: 0)
    append(varint: UInt64(bitPattern: value))
  }

  /// Appends a double: eight bytes.
  mutating func add(_ field: UInt8, double value: Double) {
    key(field, wireType: 1)
    append(value.bitPattern)
  }

  /// Appends a float: four bytes.
  mutating func add(_ field: UInt8, float value: Float) {
    key(field, wireType: 5)
    append(value.bitPattern)
  }

  /// Appends a string.
  mutating func add(_ field: UInt8, text: String) { add(field, bytes: Array(text.utf8)) }

  /// Appends a message inside this one.
  mutating func add(_ field: UInt8, message: ProtobufMessage) { add(field, bytes: message.bytes) }

  /// Appends bytes with their length.
  mutating func add(_ field: UInt8, bytes content: [UInt8]) {
    key(field, wireType: 2)
    append(varint: UInt64(content.count))
    bytes += content
  }

  /// Fields are numbered up to 15 here: one byte.
  private mutating func key(_ field: UInt8, wireType: UInt8) { bytes.append(field << 3 | wireType) }

  private mutating func append(varint value: UInt64) {
    var rest = value
    while rest >= 0x80 {
      bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
      rest >>= 7
    }
    bytes.append(UInt8(rest))
  }

  private mutating func append(_ value: some FixedWidthInteger) {
    for shift in stride(from: 0, to: value.bitWidth, by: 8) {
      bytes.append(UInt8(truncatingIfNeeded: value >> shift))
    }
  }
}
