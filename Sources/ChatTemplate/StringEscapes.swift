// Decodes string literals as jinja2 does: encode to ASCII with backslashreplace, then Python's
// unicode-escape. The detour matters for a backslash before a character outside ASCII.

/// Python's escapes in string literals.
enum StringEscapes {
  /// The value of a literal between its quotes.
  static func decode(_ body: ArraySlice<UInt8>, line: Int, offset: Int) throws(SyntaxFault)
    -> [UInt8]
  {
    guard body.contains(0x5C) else { return Array(body) }
    let ascii = backslashReplaced(Array(body))
    var result: [UInt8] = []
    var i = 0
    func fault(_ message: String) -> SyntaxFault {
      SyntaxFault(message: message, line: line, offset: offset)
    }
    while i < ascii.count {
      guard ascii[i] == 0x5C, i + 1 < ascii.count else {
        result.append(ascii[i])
        i += 1
        continue
      }
      let escape = ascii[i + 1]
      i += 2
      switch escape {
      case 0x0A: break
      case 0x5C, 0x27, 0x22: result.append(escape)
      case 0x61: result.append(0x07)
      case 0x62: result.append(0x08)
      case 0x66: result.append(0x0C)
      case 0x6E: result.append(0x0A)
      case 0x72: result.append(0x0D)
      case 0x74: result.append(0x09)
      case 0x76: result.append(0x0B)
      case 0x30...0x37:
        var value = UInt32(escape - 0x30)
        var count = 1
        while count < 3, i < ascii.count, (0x30...0x37).contains(ascii[i]) {
          value = value * 8 + UInt32(ascii[i] - 0x30)
          i += 1
          count += 1
        }
        append(value, to: &result)
      case 0x78, 0x75, 0x55:
        let width = escape == 0x78 ? 2 : escape == 0x75 ? 4 : 8
        guard i + width <= ascii.count,
          let value = UInt32(String(decoding: ascii[i..<i + width], as: UTF8.self), radix: 16),
          ascii[i] != 0x2B, ascii[i] != 0x2D
        else { throw fault("truncated \\\(Unicode.Scalar(escape)) escape") }
        guard Unicode.Scalar(value) != nil else {
          throw fault("escape of a lone surrogate or of no character cannot be text")
        }
        append(value, to: &result)
        i += width
      case 0x4E: throw fault("\\N{...} escapes are not supported; write \\uXXXX")
      default:
        result.append(0x5C)
        result.append(escape)
      }
    }
    return result
  }

  private static func backslashReplaced(_ bytes: [UInt8]) -> [UInt8] {
    var result: [UInt8] = []
    for scalar in Text(bytes).scalars {
      if scalar.value < 0x80 {
        result.append(UInt8(scalar.value))
        continue
      }
      let (mark, width) =
        scalar.value < 0x100 ? ("x", 2) : scalar.value < 0x1_0000 ? ("u", 4) : ("U", 8)
      let digits = String(scalar.value, radix: 16)
      let padded = String(repeating: "0", count: max(0, width - digits.utf8.count)) + digits
      result += Array("\\\(mark)\(padded)".utf8)
    }
    return result
  }

  private static func append(_ value: UInt32, to result: inout [UInt8]) {
    guard let scalar = Unicode.Scalar(value) else { return }
    for byte in UTF8.encode(scalar) ?? UTF8.encodedReplacementCharacter { result.append(byte) }
  }
}
