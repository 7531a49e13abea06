// The checksum of TFRecord files: CRC-32 with Castagnoli's polynomial, a byte at a time. Event files are small.

/// CRC-32C of bytes, plain and as TFRecord files mask it.
package enum CRC32C {
  /// The reflected polynomial 0x1EDC6F41 applied to each byte.
  private static let table: [UInt32] = (0..<256).map { byte in
    (0..<8).reduce(UInt32(byte)) { value, _ in
      value & 1 == 1 ? value >> 1 ^ 0x82F6_3B78 : value >> 1
    }
  }

  /// The checksum of `bytes`.
  package static func checksum(_ bytes: some Sequence<UInt8>) -> UInt32 {
    ~bytes.reduce(UInt32.max) { crc, byte in
      table[Int(UInt8(truncatingIfNeeded: crc) ^ byte)] ^ crc >> 8
    }
  }

  /// The checksum of `bytes` rotated and shifted, so that a checksum of data that holds checksums stays useful.
  package static func masked(_ bytes: some Sequence<UInt8>) -> UInt32 {
    let crc = checksum(bytes)
    return (crc >> 15 | crc << 17) &+ 0xA282_EAD8
  }
}
