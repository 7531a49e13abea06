// Event files, read back by a decoder of the tests' own.

import Report
import Testing

/// A decoder of what an event file holds: framing, checksums, and the fields of its messages.
struct EventFileDecoder {
  enum Fault: Error { case truncated, badChecksum, badField }

  /// CRC-32C bit by bit, unlike the table of the source, and masked.
  static func maskedChecksum(_ bytes: ArraySlice<UInt8>) -> UInt32 {
    var crc = UInt32.max
    for byte in bytes {
      for bit in 0..<8 {
        let isSet = (crc ^ UInt32(byte >> bit)) & 1 == 1
        crc = crc >> 1 ^ (isSet ? 0x82F6_3B78 : 0)
      }
    }
    crc = ~crc
    return ((crc >> 15) | (crc << 17)) &+ 0xA282_EAD8
  }

  static func number(_ bytes: ArraySlice<UInt8>) -> UInt64 {
    bytes.reversed().reduce(0) { $0 << 8 | UInt64($1) }
  }

  /// The messages of a file.
  static func records(_ file: [UInt8]) throws -> [ArraySlice<UInt8>] {
    var rest = file[...]
    var records: [ArraySlice<UInt8>] = []
    func take(_ count: Int) throws -> ArraySlice<UInt8> {
      guard rest.count >= count else { throw Fault.truncated }
      defer { rest = rest.dropFirst(count) }
      return rest.prefix(count)
    }
    while !rest.isEmpty {
      let length = try take(8)
      guard number(try take(4)) == UInt64(maskedChecksum(length)) else { throw Fault.badChecksum }
      let data = try take(Int(number(length)))
      guard number(try take(4)) == UInt64(maskedChecksum(data)) else { throw Fault.badChecksum }
      records.append(data)
    }
    return records
  }

  /// The fields of a message: number, and bytes or a number.
  static func fields(_ message: ArraySlice<UInt8>) throws -> [(Int, UInt64, ArraySlice<UInt8>)] {
    var rest = message
    func varint() throws -> UInt64 {
      var (value, shift) = (UInt64(0), UInt64(0))
      while let byte = rest.popFirst() {
        value |= UInt64(byte & 0x7F) << shift
        if byte < 0x80 { return value }
        shift += 7
      }
      throw Fault.truncated
    }
    var fields: [(Int, UInt64, ArraySlice<UInt8>)] = []
    while !rest.isEmpty {
      let key = try varint()
      let field = Int(key >> 3)
      switch key & 7 {
      case 0: fields.append((field, try varint(), []))
      case 1, 5:
        let count = key & 7 == 1 ? 8 : 4
        guard rest.count >= count else { throw Fault.truncated }
        fields.append((field, number(rest.prefix(count)), []))
        rest = rest.dropFirst(count)
      case 2:
        let count = Int(try varint())
        guard rest.count >= count else { throw Fault.truncated }
        fields.append((field, 0, rest.prefix(count)))
        rest = rest.dropFirst(count)
      default: throw Fault.badField
      }
    }
    return fields
  }

  /// Tag, step and value of every scalar of a file.
  static func scalars(_ file: [UInt8]) throws -> [(tag: String, step: Int, value: Float)] {
    try records(file).flatMap { record -> [(tag: String, step: Int, value: Float)] in
      let event = try fields(record)
      let step = Int(event.first { $0.0 == 2 }?.1 ?? 0)
      return try event.filter { $0.0 == 5 }.flatMap { summary in
        try fields(summary.2).compactMap { value in
          let parts = try fields(value.2)
          guard let tag = parts.first(where: { $0.0 == 1 }),
            let bits = parts.first(where: { $0.0 == 2 && $0.2.isEmpty })
          else { return nil }
          return (String(decoding: tag.2, as: UTF8.self), step, Float(bitPattern: UInt32(bits.1)))
        }
      }
    }
  }
}

@Suite("Event files")
struct EventFileTests {
  @Test("the checksum is CRC-32C, by the vectors of RFC 3720")
  func checksum() {
    #expect(CRC32C.checksum(Array("123456789".utf8)) == 0xE306_9283)
    #expect(CRC32C.checksum([UInt8](repeating: 0, count: 32)) == 0x8A91_36AA)
    #expect(CRC32C.checksum([UInt8](repeating: 0xFF, count: 32)) == 0x62A8_AB43)
    #expect(CRC32C.checksum((0..<32).map { UInt8($0) }) == 0x46DD_794E)
    #expect(CRC32C.checksum([]) == 0)
  }

  @Test("records are read back with their values, steps and times, checksums included")
  func records() throws {
    let events = [
      EventRecord(wallTime: 1_700_000_000.25, step: 0, .fileVersion),
      EventRecord(wallTime: 1, step: 1_000_000_007, .sessionStart),
      EventRecord(
        wallTime: 2, step: 300,
        .scalars([
          .init(tag: "train/loss", value: 0.1), .init(tag: "eval/löss", value: -.infinity),
          .init(tag: String(repeating: "x", count: 300), value: .nan),
        ])),
      EventRecord(wallTime: 3, step: 0, .text(tag: "args", "a: 1\nb: \u{1F642}")),
    ]
    let file = events.flatMap(\.bytes)
    let messages = try EventFileDecoder.records(file)
    #expect(messages.count == 4)
    let version = try EventFileDecoder.fields(messages[0])
    #expect(version.map(\.0) == [1, 3])
    #expect(Double(bitPattern: version[0].1) == 1_700_000_000.25)
    #expect(String(decoding: version[1].2, as: UTF8.self) == "brain.Event:2")
    let session = try EventFileDecoder.fields(messages[1])
    #expect(session.map(\.0) == [1, 2, 7] && session[1].1 == 1_000_000_007)
    #expect(try EventFileDecoder.fields(session[2].2).map(\.1) == [1])
    let scalars = try EventFileDecoder.scalars(file)
    #expect(scalars.map(\.tag).prefix(2) == ["train/loss", "eval/löss"])
    #expect(scalars.map(\.step) == [300, 300, 300])
    #expect(scalars[0].value == 0.1 && scalars[1].value == -.infinity && scalars[2].value.isNaN)
    let text = try EventFileDecoder.fields(try EventFileDecoder.fields(messages[3])[1].2)[0].2
    let value = try EventFileDecoder.fields(text)
    #expect(String(decoding: value[0].2, as: UTF8.self) == "args/text_summary")
    let tensor = try EventFileDecoder.fields(value[1].2)
    #expect(tensor.map(\.0) == [1, 2, 8] && tensor[0].1 == 7)
    #expect(String(decoding: tensor[2].2, as: UTF8.self) == "a: 1\nb: \u{1F642}")
  }

  @Test("a flipped bit anywhere in a record is seen")
  func damage() throws {
    let record = EventRecord(wallTime: 1, step: 2, .scalars([.init(tag: "a", value: 1)])).bytes
    for index in record.indices {
      var damaged = record
      damaged[index] ^= 0x10
      #expect(throws: EventFileDecoder.Fault.self) { try EventFileDecoder.records(damaged) }
    }
  }
}
