// A strict JSON parser over bytes, with the dialect of Python's json.loads. It keeps its own stack, so that
// nesting costs memory and never the thread's stack.

extension JSON {
  /// The greatest nesting that `parse` accepts, whatever the caller asks for: destroying and comparing
  /// a value recurse.
  public static let maximumSupportedDepth = 4_000

  /// The most digits of an integer (the limit of Python's `int`).
  public static let maximumIntegerDigits = 4_300

  /// Parses one document.
  ///
  /// The dialect is that of Python's `json.loads`: RFC 8259 and `NaN`, `Infinity`, `-Infinity`; numbers
  /// beyond the range of `Double` become infinite or zero; of a repeated key the last value wins at the
  /// first place. Stricter than Python: a lone surrogate escape is an error. Linear in time and memory.
  ///
  /// - Throws: ``JSONError`` with line, column and byte offset.
  public static func parse(_ bytes: [UInt8], maximumDepth: Int = 512) throws(JSONError) -> JSON {
    var parser = JSONParser(bytes: bytes, maximumDepth: maximumDepth)
    return try parser.parseDocument()
  }

  /// Parses one document; offsets in errors count from the slice's start.
  public static func parse(_ bytes: ArraySlice<UInt8>, maximumDepth: Int = 512) throws(JSONError)
    -> JSON
  {
    try parse(Array(bytes), maximumDepth: maximumDepth)
  }

  /// Parses one document.
  public static func parse(_ bytes: borrowing Span<UInt8>, maximumDepth: Int = 512)
    throws(JSONError) -> JSON
  {
    var copy: [UInt8] = []
    copy.reserveCapacity(bytes.count)
    for index in bytes.indices { copy.append(bytes[index]) }
    return try parse(copy, maximumDepth: maximumDepth)
  }

  /// Parses one document and tells which keys were met more than once in one object.
  package static func parseNotingDuplicateKeys(_ bytes: [UInt8], maximumDepth: Int = 512)
    throws(JSONError) -> (value: JSON, duplicateKeys: [String])
  {
    var parser = JSONParser(bytes: bytes, maximumDepth: maximumDepth)
    let value = try parser.parseDocument()
    return (value, parser.duplicateKeys)
  }

  /// Parses one document.
  public static func parse(_ text: String, maximumDepth: Int = 512) throws(JSONError) -> JSON {
    try parse(Array(text.utf8), maximumDepth: maximumDepth)
  }
}

/// The state of one parse.
struct JSONParser {
  private let bytes: [UInt8]
  private let maximumDepth: Int
  private var position = 0

  // One entry for each open container; `arrays`, or `objects` and `keys`, hold its content so far.
  private var isObject: [Bool] = []
  private var arrays: [[JSON]] = []
  private var objects: [JSONObject] = []
  private var keys: [String] = []

  /// Keys that were met twice in one object, in the order met: formats that forbid them ask.
  private(set) var duplicateKeys: [String] = []

  init(bytes: [UInt8], maximumDepth: Int) {
    self.bytes = bytes
    self.maximumDepth = min(maximumDepth, JSON.maximumSupportedDepth)
  }

  mutating func parseDocument() throws(JSONError) -> JSON {
    if bytes.starts(with: [0xEF, 0xBB, 0xBF]) { throw .byteOrderMark(at: here) }
    while true {
      guard var value = try parseScalarOrOpen() else { continue }
      // A value is complete: hand it to its container, and close what ends here.
      while let inObject = isObject.last {
        if inObject {
          let key = keys.removeLast()
          if objects[objects.count - 1].update(key, to: value) { duplicateKeys.append(key) }
        } else {
          arrays[arrays.count - 1].append(value)
        }
        skipWhitespace()
        let close: UInt8 = inObject ? 0x7D : 0x5D
        let expected = inObject ? "',' or '}'" : "',' or ']'"
        guard position < bytes.count else { throw .unexpectedEnd(expected: expected, at: here) }
        if bytes[position] == 0x2C {
          position += 1
          if inObject { try parseKey() }
          break
        }
        guard bytes[position] == close else { throw unexpected(expected) }
        position += 1
        isObject.removeLast()
        value = inObject ? .object(objects.removeLast()) : .array(arrays.removeLast())
      }
      if isObject.isEmpty {
        skipWhitespace()
        guard position == bytes.count else { throw .trailingData(found: foundText, at: here) }
        return value
      }
    }
  }

  /// A scalar or an empty container; nil after opening a container with content.
  private mutating func parseScalarOrOpen() throws(JSONError) -> JSON? {
    skipWhitespace()
    guard position < bytes.count else { throw .unexpectedEnd(expected: "a value", at: here) }
    switch bytes[position] {
    case 0x7B:  // {
      try checkDepth()
      position += 1
      skipWhitespace()
      if position < bytes.count, bytes[position] == 0x7D {
        position += 1
        return .object(JSONObject())
      }
      isObject.append(true)
      objects.append(JSONObject())
      try parseKey()
      return nil
    case 0x5B:  // [
      try checkDepth()
      position += 1
      skipWhitespace()
      if position < bytes.count, bytes[position] == 0x5D {
        position += 1
        return .array([])
      }
      isObject.append(false)
      arrays.append([])
      return nil
    case 0x22: return .string(try parseString())
    case 0x2D, 0x30...0x39: return try parseNumber()
    case 0x74 where consume("true"): return .bool(true)
    case 0x66 where consume("false"): return .bool(false)
    case 0x6E where consume("null"): return .null
    case 0x4E where consume("NaN"): return .number(.nan)
    case 0x49 where consume("Infinity"): return .number(.infinity)
    default: throw unexpected("a value")
    }
  }

  private func checkDepth() throws(JSONError) {
    if isObject.count >= maximumDepth { throw .tooDeep(maximum: maximumDepth, at: here) }
  }

  /// A key and the colon after it, onto `keys`.
  private mutating func parseKey() throws(JSONError) {
    skipWhitespace()
    let expected = "a key in double quotes"
    guard position < bytes.count else { throw .unexpectedEnd(expected: expected, at: here) }
    guard bytes[position] == 0x22 else { throw unexpected(expected) }
    keys.append(try parseString())
    skipWhitespace()
    guard position < bytes.count else { throw .unexpectedEnd(expected: "':'", at: here) }
    guard bytes[position] == 0x3A else { throw unexpected("':'") }
    position += 1
  }

  private mutating func skipWhitespace() {
    while position < bytes.count {
      switch bytes[position] {
      case 0x20, 0x0A, 0x0D, 0x09: position += 1
      default: return
      }
    }
  }

  private mutating func consume(_ word: StaticString) -> Bool {
    let text = word.description.utf8
    guard bytes.count - position >= text.count,
      bytes[position..<position + text.count].elementsEqual(text)
    else { return false }
    position += text.count
    return true
  }

  // MARK: Strings

  /// The string whose opening quote is at `position`.
  private mutating func parseString() throws(JSONError) -> String {
    let open = position
    position += 1
    let start = position
    while position < bytes.count {
      let byte = bytes[position]
      if byte == 0x22 {
        guard let text = String(validating: bytes[start..<position], as: UTF8.self) else {
          throw invalidUTF8(in: start..<position)
        }
        position += 1
        return text
      }
      if byte == 0x5C { return try parseEscapedString(open: open, start: start) }
      if byte < 0x20 { throw .controlCharacter(byte: byte, at: here) }
      position += 1
    }
    throw .unexpectedEnd(expected: "a closing '\"' for the string of byte \(open)", at: here)
  }

  /// The rest of a string with escapes; `position` is at the first backslash.
  private mutating func parseEscapedString(open: Int, start: Int) throws(JSONError) -> String {
    var text = Array(bytes[start..<position])
    while position < bytes.count {
      let byte = bytes[position]
      switch byte {
      case 0x22:
        guard let string = String(validating: text, as: UTF8.self) else {
          throw invalidUTF8(in: start..<position)
        }
        position += 1
        return string
      case 0x5C: try parseEscape(into: &text)
      case 0..<0x20: throw .controlCharacter(byte: byte, at: here)
      default:
        text.append(byte)
        position += 1
      }
    }
    throw .unexpectedEnd(expected: "a closing '\"' for the string of byte \(open)", at: here)
  }

  private mutating func parseEscape(into text: inout [UInt8]) throws(JSONError) {
    let start = position
    guard start + 1 < bytes.count else {
      throw .unexpectedEnd(expected: "an escape", at: at(bytes.count))
    }
    position += 2
    switch bytes[start + 1] {
    case 0x22: text.append(0x22)
    case 0x5C: text.append(0x5C)
    case 0x2F: text.append(0x2F)
    case 0x62: text.append(0x08)
    case 0x66: text.append(0x0C)
    case 0x6E: text.append(0x0A)
    case 0x72: text.append(0x0D)
    case 0x74: text.append(0x09)
    case 0x75:
      var code = try parseHexadecimal(escapeAt: start)
      if code & 0xFC00 == 0xD800 {
        let second = position
        guard second + 1 < bytes.count, bytes[second] == 0x5C, bytes[second + 1] == 0x75 else {
          throw .loneSurrogate(escape: escapeText(start), at: at(start))
        }
        position += 2
        let low = try parseHexadecimal(escapeAt: second)
        guard low & 0xFC00 == 0xDC00 else {
          throw .loneSurrogate(escape: escapeText(start), at: at(start))
        }
        code = 0x10000 + (code & 0x3FF) << 10 + (low & 0x3FF)
      }
      guard let scalar = Unicode.Scalar(code) else {
        throw .loneSurrogate(escape: escapeText(start), at: at(start))
      }
      text.append(contentsOf: String(Character(scalar)).utf8)
    default:
      position = start + 1
      let found = foundText
      throw .invalidEscape(found: "'\\' before \(found)", at: at(start))
    }
  }

  /// Four hexadecimal digits at `position`.
  private mutating func parseHexadecimal(escapeAt start: Int) throws(JSONError) -> UInt32 {
    var code: UInt32 = 0
    for _ in 0..<4 {
      guard position < bytes.count else {
        throw .unexpectedEnd(expected: "four hexadecimal digits", at: here)
      }
      let digit: UInt8
      switch bytes[position] {
      case 0x30...0x39: digit = bytes[position] - 0x30
      case 0x41...0x46: digit = bytes[position] - 0x41 + 10
      case 0x61...0x66: digit = bytes[position] - 0x61 + 10
      default: throw unexpected("four hexadecimal digits after \\u")
      }
      code = code << 4 | UInt32(digit)
      position += 1
    }
    return code
  }

  private func escapeText(_ start: Int) -> String {
    String(decoding: bytes[start..<min(start + 6, bytes.count)], as: UTF8.self)
  }

  // MARK: Numbers

  private mutating func parseNumber() throws(JSONError) -> JSON {
    let start = position
    let isNegative = bytes[position] == 0x2D
    if isNegative {
      position += 1
      if position < bytes.count, bytes[position] == 0x49, consume("Infinity") {
        return .number(-.infinity)
      }
    }
    let firstDigit = position
    try skipDigits()
    let digits = position - firstDigit
    if digits > 1, bytes[firstDigit] == 0x30 {
      position = firstDigit + 1
      throw unexpected("no digit after a leading zero")
    }
    var isInteger = true
    if position < bytes.count, bytes[position] == 0x2E {
      isInteger = false
      position += 1
      try skipDigits()
    }
    if position < bytes.count, bytes[position] | 0x20 == 0x65 {
      isInteger = false
      position += 1
      if position < bytes.count, bytes[position] == 0x2B || bytes[position] == 0x2D {
        position += 1
      }
      try skipDigits()
    }
    if isInteger {
      if let value = smallInteger(firstDigit..<position, isNegative: isNegative) {
        return .integer(value)
      }
      guard digits <= JSON.maximumIntegerDigits else {
        throw .integerTooLong(digits: digits, maximum: JSON.maximumIntegerDigits, at: at(start))
      }
      return .bigInteger(String(decoding: bytes[start..<position], as: UTF8.self))
    }
    let text = String(decoding: bytes[start..<position], as: UTF8.self)
    guard let value = Double(text) else {
      position = start
      throw unexpected("a number")
    }
    return .number(value)
  }

  /// One digit or more.
  private mutating func skipDigits() throws(JSONError) {
    guard position < bytes.count else { throw .unexpectedEnd(expected: "a digit", at: here) }
    guard isDigit(bytes[position]) else { throw unexpected("a digit") }
    while position < bytes.count, isDigit(bytes[position]) { position += 1 }
  }

  private func isDigit(_ byte: UInt8) -> Bool { byte >= 0x30 && byte <= 0x39 }

  private func smallInteger(_ range: Range<Int>, isNegative: Bool) -> Int? {
    var value = 0
    for byte in bytes[range] {
      let (product, overflow) = value.multipliedReportingOverflow(by: 10)
      let digit = Int(byte - 0x30)
      let (next, carry) =
        isNegative
        ? product.subtractingReportingOverflow(digit) : product.addingReportingOverflow(digit)
      if overflow || carry { return nil }
      value = next
    }
    return value
  }

  // MARK: Errors

  private var here: JSONPosition { at(position) }

  private func at(_ offset: Int) -> JSONPosition { JSONPosition(byteOffset: offset, in: bytes) }

  private func unexpected(_ expected: String) -> JSONError {
    position < bytes.count
      ? .unexpected(expected: expected, found: foundText, at: here)
      : .unexpectedEnd(expected: expected, at: here)
  }

  /// The character at `position` in quotes, or its byte where it does not print.
  private var foundText: String {
    guard position < bytes.count else { return "the end" }
    let byte = bytes[position]
    if byte >= 0x20, byte < 0x7F { return "'\(Unicode.Scalar(byte))'" }
    return "byte \(hexadecimal(byte))"
  }

  private func invalidUTF8(in range: Range<Int>) -> JSONError {
    let offset = firstInvalidUTF8(range) ?? range.lowerBound
    return .invalidUTF8(byte: offset < bytes.count ? bytes[offset] : 0, at: at(offset))
  }

  /// The offset of the first byte that begins no well-formed sequence.
  private func firstInvalidUTF8(_ range: Range<Int>) -> Int? {
    var offset = range.lowerBound
    while offset < range.upperBound {
      let lead = bytes[offset]
      let length = lead < 0x80 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4
      let end = min(offset + length, range.upperBound)
      if String(validating: bytes[offset..<end], as: UTF8.self) == nil { return offset }
      offset += length
    }
    return nil
  }
}
