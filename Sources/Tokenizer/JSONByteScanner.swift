// A scanner over the bytes of tokenizer.json, for its two big tables and for finding the small
// parts, which OrderedJSON then parses. It is no general JSON reader: values it skips are only
// followed to their end.

/// Reads JSON strings and integers in place.
struct JSONByteScanner {
  /// The whole file.
  let bytes: [UInt8]
  /// The place of the next byte.
  private(set) var position = 0
  private let file: String

  /// A scanner at the start of a file.
  init(_ bytes: [UInt8], file: String) {
    self.bytes = bytes
    self.file = file
  }

  /// The next byte that is not whitespace, or nil at the end.
  mutating func peek() -> UInt8? {
    while position < bytes.count {
      switch bytes[position] {
      case 0x20, 0x09, 0x0A, 0x0D: position += 1
      default: return bytes[position]
      }
    }
    return nil
  }

  /// Takes a byte if it is the next one.
  mutating func take(_ byte: UInt8) -> Bool {
    guard peek() == byte else { return false }
    position += 1
    return true
  }

  /// Takes a byte that must be the next one.
  mutating func expect(_ byte: Character, _ subject: String) throws(TokenizerError) {
    guard let code = byte.asciiValue, take(code) else { throw fault(subject, "'\(byte)'") }
  }

  /// Goes on to the next element of an array or object whose opening bracket is taken, or takes its
  /// end.
  mutating func next(isFirst: Bool, closing: Character, _ subject: String)
    throws(TokenizerError) -> Bool
  {
    if let code = closing.asciiValue, take(code) { return false }
    if !isFirst { try expect(",", subject) }
    return true
  }

  /// Takes a string and appends its UTF-8 bytes.
  mutating func string(into output: inout [UInt8], _ subject: String) throws(TokenizerError) {
    try expect("\"", subject)
    var start = position
    while position < bytes.count {
      let byte = bytes[position]
      if byte == 0x22 {
        output.append(contentsOf: bytes[start..<position])
        position += 1
        return
      }
      if byte == 0x5C {
        output.append(contentsOf: bytes[start..<position])
        position += 1
        try escape(into: &output, subject)
        start = position
      } else if byte < 0x20 {
        throw fault(subject, "an escape")
      } else {
        position += 1
      }
    }
    throw fault(subject, "a closing quote")
  }

  /// Takes an integer that is not negative.
  mutating func integer(_ subject: String) throws(TokenizerError) -> Int {
    guard let first = peek(), first >= 0x30, first <= 0x39 else {
      throw fault(subject, "an integer")
    }
    var value = 0
    while position < bytes.count, bytes[position] >= 0x30, bytes[position] <= 0x39 {
      value = value * 10 + Int(bytes[position] - 0x30)
      if value > Int(Int32.max) { throw fault(subject, "an integer below 2^31") }
      position += 1
    }
    if position < bytes.count, [0x2E, 0x45, 0x65].contains(bytes[position]) {
      throw fault(subject, "an integer")
    }
    return value
  }

  /// Steps over a value and returns its bytes' place.
  mutating func skipValue(_ subject: String) throws(TokenizerError) -> Range<Int> {
    guard let first = peek() else { throw fault(subject, "a value") }
    let start = position
    var depth = 0
    switch first {
    case 0x22: try skipString(subject)
    case 0x5B, 0x7B:
      repeat {
        guard position < bytes.count else { throw fault(subject, "a closing bracket") }
        switch bytes[position] {
        case 0x22: try skipString(subject)
        case 0x5B, 0x7B:
          depth += 1
          position += 1
        case 0x5D, 0x7D:
          depth -= 1
          position += 1
        default: position += 1
        }
      } while depth > 0
    default:
      let ends: [UInt8] = [0x2C, 0x5D, 0x7D, 0x20, 0x09, 0x0A, 0x0D]
      while position < bytes.count, !ends.contains(bytes[position]) { position += 1 }
      if position == start { throw fault(subject, "a value") }
    }
    return start..<position
  }

  /// Goes back to a place.
  mutating func move(to place: Int) { position = place }

  /// What to throw when something else than `expected` comes next.
  func fault(_ subject: String, _ expected: String) -> TokenizerError {
    let found: String
    if position >= bytes.count {
      found = "the end of the file"
    } else {
      let end = min(position + 16, bytes.count)
      found = String(decoding: bytes[position..<end], as: UTF8.self).debugDescription
    }
    return .malformed(
      file: file, subject: "\(subject), byte \(position)", expected: expected, actual: found,
      hint: "is the file cut off or damaged?")
  }

  private mutating func skipString(_ subject: String) throws(TokenizerError) {
    position += 1
    while position < bytes.count {
      switch bytes[position] {
      case 0x22:
        position += 1
        return
      case 0x5C: position += 2
      default: position += 1
      }
    }
    position = bytes.count
    throw fault(subject, "a closing quote")
  }

  private mutating func escape(into output: inout [UInt8], _ subject: String)
    throws(TokenizerError)
  {
    guard position < bytes.count else { throw fault(subject, "an escape") }
    let byte = bytes[position]
    position += 1
    switch byte {
    case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): output.append(byte)
    case UInt8(ascii: "b"): output.append(0x08)
    case UInt8(ascii: "f"): output.append(0x0C)
    case UInt8(ascii: "n"): output.append(0x0A)
    case UInt8(ascii: "r"): output.append(0x0D)
    case UInt8(ascii: "t"): output.append(0x09)
    case UInt8(ascii: "u"):
      var scalar = try hexadecimal(subject)
      if scalar & 0xFC00 == 0xD800 {
        guard position + 1 < bytes.count, bytes[position] == 0x5C,
          bytes[position + 1] == UInt8(ascii: "u")
        else { throw fault(subject, "the second half of a surrogate pair") }
        position += 2
        let low = try hexadecimal(subject)
        guard low & 0xFC00 == 0xDC00 else {
          throw fault(subject, "the second half of a surrogate pair")
        }
        scalar = 0x10000 + (scalar & 0x3FF) << 10 + (low & 0x3FF)
      } else if scalar & 0xFC00 == 0xDC00 {
        throw fault(subject, "the first half of a surrogate pair")
      }
      UTF8Text.append(scalar, to: &output)
    default:
      position -= 1
      throw fault(subject, "a JSON escape")
    }
  }

  private mutating func hexadecimal(_ subject: String) throws(TokenizerError) -> UInt32 {
    var value: UInt32 = 0
    for _ in 0..<4 {
      guard position < bytes.count,
        let digit = Character(Unicode.Scalar(bytes[position])).hexDigitValue
      else { throw fault(subject, "four hexadecimal digits") }
      value = value << 4 | UInt32(digit)
      position += 1
    }
    return value
  }
}
