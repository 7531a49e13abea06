// IEEE half precision as bits, so that every processor rounds alike.

/// Conversion between float32 and the bits of a half.
package enum HalfFloat {
  /// Rounds to nearest, ties to even; what is too large becomes infinite.
  @inline(__always)
  package static func bits(_ value: Float) -> UInt16 {
    let pattern = value.bitPattern
    let sign = UInt16(truncatingIfNeeded: pattern >> 16) & 0x8000
    let magnitude = pattern & 0x7FFF_FFFF
    if magnitude >= 0x4780_0000 {  // 65536 and above
      return sign | (magnitude > 0x7F80_0000 ? 0x7E00 : 0x7C00)
    }
    if magnitude < 0x3880_0000 {  // below 2⁻¹⁴: the unit of 0.5 is that of a subnormal half
      let shifted = Float(bitPattern: magnitude) + 0.5
      return sign | UInt16(truncatingIfNeeded: shifted.bitPattern &- 0x3F00_0000)
    }
    let rounded = magnitude &+ 0x0FFF &+ ((magnitude >> 13) & 1)
    return sign | UInt16(truncatingIfNeeded: (rounded &- (112 << 23)) >> 13)
  }

  /// The exact value.
  @inline(__always)
  package static func float(_ bits: UInt16) -> Float {
    let magnitude = UInt32(bits & 0x7FFF)
    let pattern =
      magnitude >= 0x7C00
      ? magnitude << 13 | 0x7F80_0000 : (Float(bitPattern: magnitude << 13) * 0x1p112).bitPattern
    return Float(bitPattern: pattern | UInt32(bits & 0x8000) << 16)
  }
}
