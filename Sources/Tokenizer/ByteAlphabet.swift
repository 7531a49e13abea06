// The byte-level alphabet of GPT-2: each byte is written as one printable code point, so that a
// vocabulary can be a file of strings. Only the map; splitting and merging are elsewhere.

/// The map between bytes and the code points that stand for them in vocabulary strings.
enum ByteAlphabet {
  /// The code point of each byte (all below U+0144).
  static let scalars: [UInt32] = {
    var table = [UInt32](repeating: 0, count: 256)
    var next: UInt32 = 256
    for byte in 0..<256 {
      switch byte {
      case 33...126, 161...172, 174...255: table[byte] = UInt32(byte)
      default:
        table[byte] = next
        next += 1
      }
    }
    return table
  }()

  /// The byte of each code point, −1 where it stands for none.
  static let bytes: [Int16] = {
    var table = [Int16](repeating: -1, count: 0x144)
    for (byte, scalar) in scalars.enumerated() { table[Int(scalar)] = Int16(byte) }
    return table
  }()

  /// Appends the bytes that a token's string stands for: those of its code points, or the string
  /// itself if any of its code points stands for no byte (as the ByteLevel decoder of `tokenizers`
  /// does).
  static func appendBytes(of content: [UInt8], _ range: Range<Int>, to output: inout [UInt8]) {
    let start = output.count
    var i = range.lowerBound
    while i < range.upperBound {
      let (scalar, length) = UTF8Text.decode(content, at: i)
      let byte = scalar < 0x144 ? bytes[Int(scalar)] : -1
      if byte < 0 {
        output.removeSubrange(start...)
        output.append(contentsOf: content[range])
        return
      }
      output.append(UInt8(truncatingIfNeeded: byte))
      i += length
    }
  }

  /// The vocabulary string of some bytes.
  static func string(of input: [UInt8], _ range: Range<Int>) -> [UInt8] {
    var output: [UInt8] = []
    output.reserveCapacity(range.count * 2)
    for i in range { UTF8Text.append(scalars[Int(input[i])], to: &output) }
    return output
  }
}
