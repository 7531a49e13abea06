// bfloat16 as a storage type: the upper half of a float32. Arithmetic happens in Float.

/// A 16-bit brain floating-point number (1 sign, 8 exponent, 7 fraction bits).
public struct BFloat16: Sendable, Hashable, BitwiseCopyable {
  /// The bits as stored in checkpoints.
  public var bitPattern: UInt16

  /// Takes the bits as they are.
  @inlinable
  public init(bitPattern: UInt16) { self.bitPattern = bitPattern }

  /// Rounds to nearest, ties to even; a NaN stays a (quiet) NaN.
  @inlinable @inline(__always)
  public init(_ value: Float) {
    let bits = value.bitPattern
    if bits & 0x7fff_ffff > 0x7f80_0000 {
      bitPattern = UInt16(truncatingIfNeeded: bits >> 16) | 0x0040
    } else {
      let rounding = 0x7fff &+ ((bits >> 16) & 1)
      bitPattern = UInt16(truncatingIfNeeded: (bits &+ rounding) >> 16)
    }
  }

  /// The exact value as a Float.
  @inlinable @inline(__always)
  public var float: Float { Float(bitPattern: UInt32(bitPattern) << 16) }
}
