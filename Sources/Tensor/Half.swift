// IEEE half precision as a storage type. Arithmetic happens in Float: nothing computes in it; files are rounded to it.

/// A 16-bit floating-point number (1 sign, 5 exponent, 10 fraction bits).
public struct Half: Sendable, Hashable, BitwiseCopyable {
  /// The bits as stored in checkpoints.
  public var bitPattern: UInt16

  /// Takes the bits as they are.
  @inlinable
  public init(bitPattern: UInt16) { self.bitPattern = bitPattern }

  /// Rounds to nearest, ties to even; what is too large becomes infinite. On bits, so that every processor rounds alike.
  @inlinable @inline(__always)
  public init(_ value: Float) {
    let pattern = value.bitPattern
    let sign = UInt16(truncatingIfNeeded: pattern >> 16) & 0x8000
    let magnitude = pattern & 0x7FFF_FFFF
    if magnitude >= 0x4780_0000 {  // 65536 and above
      bitPattern = sign | (magnitude > 0x7F80_0000 ? 0x7E00 : 0x7C00)
    } else if magnitude < 0x3880_0000 {  // below 2⁻¹⁴: the unit of 0.5 is that of a subnormal half
      let shifted = Float(bitPattern: magnitude) + 0.5
      bitPattern = sign | UInt16(truncatingIfNeeded: shifted.bitPattern &- 0x3F00_0000)
    } else {
      let rounded = magnitude &+ 0x0FFF &+ ((magnitude >> 13) & 1)
      bitPattern = sign | UInt16(truncatingIfNeeded: (rounded &- (112 << 23)) >> 13)
    }
  }

  /// The exact value as a Float.
  ///
  /// Without branches, so that loops over it vectorise on every CPU: moving the bits up leaves an exponent too small by
  /// 112, which one exact multiplication corrects, also where the number is subnormal.
  @inlinable @inline(__always)
  public var float: Float {
    let magnitude = UInt32(bitPattern & 0x7FFF)
    let scaled = (Float(bitPattern: magnitude << 13) * 0x1p112).bitPattern
    let special = magnitude << 13 | 0x7F80_0000  // infinity and NaN
    let bits = magnitude >= 0x7C00 ? special : scaled
    return Float(bitPattern: bits | UInt32(bitPattern & 0x8000) << 16)
  }
}
