// UTF-8 at the level of bytes: validity, repair and code-point starts. No normalisation, no
// graphemes.

/// Operations on UTF-8 in byte arrays.
enum UTF8Text {
  /// Whether the bytes are well-formed UTF-8 (Unicode 3.9, table 3-7).
  static func isWellFormed(_ bytes: [UInt8]) -> Bool {
    var i = 0
    while i < bytes.count {
      if bytes[i] < 0x80 {
        i += 1
        continue
      }
      let length = sequenceLength(bytes, at: i)
      if length <= 0 { return false }
      i += length
    }
    return true
  }

  /// The bytes with each maximal ill-formed part replaced by U+FFFD; well-formed bytes as they are.
  static func repaired(_ bytes: [UInt8]) -> [UInt8] {
    isWellFormed(bytes) ? bytes : Array(String(decoding: bytes, as: UTF8.self).utf8)
  }

  /// Length of the sequence at `i`: 1…4 if well formed, −n if n bytes are ill formed, 0 if the
  /// bytes end inside a sequence that is well formed so far.
  static func sequenceLength(_ bytes: [UInt8], at i: Int) -> Int {
    let first = bytes[i]
    let needed: Int
    var low: UInt8 = 0x80
    var high: UInt8 = 0xBF
    switch first {
    case 0..<0x80: return 1
    case 0xC2...0xDF: needed = 2
    case 0xE0: (needed, low) = (3, 0xA0)
    case 0xED: (needed, high) = (3, 0x9F)
    case 0xE1...0xEF: needed = 3
    case 0xF0: (needed, low) = (4, 0x90)
    case 0xF4: (needed, high) = (4, 0x8F)
    case 0xF1...0xF3: needed = 4
    default: return -1
    }
    for k in 1..<needed {
      if i + k >= bytes.count { return 0 }
      let byte = bytes[i + k]
      if byte < low || byte > high { return -k }
      (low, high) = (0x80, 0xBF)
    }
    return needed
  }

  /// The code point that starts at `i` in well-formed text, and its length.
  @inline(__always)
  static func decode(_ bytes: [UInt8], at i: Int) -> (scalar: UInt32, length: Int) {
    let first = UInt32(bytes[i])
    if first < 0x80 { return (first, 1) }
    let second = UInt32(bytes[i + 1] & 0x3F)
    if first < 0xE0 { return ((first & 0x1F) << 6 | second, 2) }
    let third = UInt32(bytes[i + 2] & 0x3F)
    if first < 0xF0 { return ((first & 0x0F) << 12 | second << 6 | third, 3) }
    let fourth = UInt32(bytes[i + 3] & 0x3F)
    return ((first & 0x07) << 18 | second << 12 | third << 6 | fourth, 4)
  }

  /// Length of the code point whose first byte is `lead`, in well-formed text.
  @inline(__always)
  static func length(ofLead lead: UInt8) -> Int {
    lead < 0x80 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4
  }

  /// Appends a code point.
  @inline(__always)
  static func append(_ scalar: UInt32, to bytes: inout [UInt8]) {
    if scalar < 0x80 {
      bytes.append(UInt8(truncatingIfNeeded: scalar))
      return
    }
    if scalar < 0x800 {
      bytes.append(0xC0 | UInt8(truncatingIfNeeded: scalar >> 6))
    } else {
      if scalar < 0x10000 {
        bytes.append(0xE0 | UInt8(truncatingIfNeeded: scalar >> 12))
      } else {
        bytes.append(0xF0 | UInt8(truncatingIfNeeded: scalar >> 18))
        bytes.append(0x80 | UInt8(truncatingIfNeeded: scalar >> 12 & 0x3F))
      }
      bytes.append(0x80 | UInt8(truncatingIfNeeded: scalar >> 6 & 0x3F))
    }
    bytes.append(0x80 | UInt8(truncatingIfNeeded: scalar & 0x3F))
  }
}
