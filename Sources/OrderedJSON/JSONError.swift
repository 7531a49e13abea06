// What can be wrong with a JSON document, and where.

/// A place in a document.
public struct JSONPosition: Sendable, Hashable, CustomStringConvertible {
  /// Bytes before the place.
  public let byteOffset: Int
  /// The line, from 1; lines end at byte 0x0A.
  public let line: Int
  /// The column, from 1, in Unicode scalars.
  public let column: Int

  /// The place of byte `offset` in `bytes`.
  init(byteOffset offset: Int, in bytes: [UInt8]) {
    var (line, column) = (1, 1)
    for byte in bytes[..<min(offset, bytes.count)] {
      if byte == 0x0A {
        line += 1
        column = 1
      } else if byte & 0xC0 != 0x80 {
        column += 1
      }
    }
    (byteOffset, self.line, self.column) = (offset, line, column)
  }

  /// "line 3, column 7 (byte 52)".
  public var description: String { "line \(line), column \(column) (byte \(byteOffset))" }
}

/// Why a document is not JSON.
public enum JSONError: Error, Sendable, Hashable, CustomStringConvertible {
  /// Something else stands where the grammar asks for `expected`.
  case unexpected(expected: String, found: String, at: JSONPosition)
  /// The document ends inside a value.
  case unexpectedEnd(expected: String, at: JSONPosition)
  /// More follows the value.
  case trailingData(found: String, at: JSONPosition)
  /// A string holds bytes that are not UTF-8.
  case invalidUTF8(byte: UInt8, at: JSONPosition)
  /// A string holds a raw control character.
  case controlCharacter(byte: UInt8, at: JSONPosition)
  /// A backslash is followed by something that is no escape.
  case invalidEscape(found: String, at: JSONPosition)
  /// A `\u` escape is half of a surrogate pair.
  case loneSurrogate(escape: String, at: JSONPosition)
  /// Arrays and objects are nested too deep.
  case tooDeep(maximum: Int, at: JSONPosition)
  /// An integer has more digits than is accepted.
  case integerTooLong(digits: Int, maximum: Int, at: JSONPosition)
  /// The document begins with a byte order mark.
  case byteOrderMark(at: JSONPosition)

  /// Where the fault is.
  public var position: JSONPosition {
    switch self {
    case .unexpected(_, _, let at), .unexpectedEnd(_, let at), .trailingData(_, let at),
      .invalidUTF8(_, let at), .controlCharacter(_, let at), .invalidEscape(_, let at),
      .loneSurrogate(_, let at), .tooDeep(_, let at), .integerTooLong(_, _, let at),
      .byteOrderMark(let at):
      at
    }
  }

  /// What is wrong, without the place.
  public var message: String {
    switch self {
    case .unexpected(let expected, let found, _): "expected \(expected), found \(found)"
    case .unexpectedEnd(let expected, _): "expected \(expected), found the end (is it cut off?)"
    case .trailingData(let found, _): "expected the end after the value, found \(found)"
    case .invalidUTF8(let byte, _):
      "expected UTF-8, found byte \(hexadecimal(byte)) (is the file in another encoding?)"
    case .controlCharacter(let byte, _):
      "expected an escape such as \\n, found the raw control character \(hexadecimal(byte))"
    case .invalidEscape(let found, _):
      "expected one of \\\" \\\\ \\/ \\b \\f \\n \\r \\t \\uXXXX, found \(found)"
    case .loneSurrogate(let escape, _):
      "expected a surrogate pair, found the lone half \(escape) (no Unicode text can hold it)"
    case .tooDeep(let maximum, _): "expected at most \(maximum) nested arrays and objects"
    case .integerTooLong(let digits, let maximum, _):
      "expected an integer of at most \(maximum) digits, found \(digits)"
    case .byteOrderMark: "expected a value, found a byte order mark (save the file without BOM)"
    }
  }

  /// What is wrong and where, in one line.
  public var description: String { "JSON: \(message), \(position)" }
}

/// A byte as "0x0A".
func hexadecimal(_ byte: UInt8) -> String {
  let digits = String(byte, radix: 16, uppercase: true)
  return digits.utf8.count == 1 ? "0x0\(digits)" : "0x\(digits)"
}
