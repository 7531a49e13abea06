// IEEE half precision as a storage type. Arithmetic happens in Float: nothing computes in it, and nothing is rounded to it.

/// A 16-bit floating-point number (1 sign, 5 exponent, 10 fraction bits).
public struct Half: Sendable, Hashable, BitwiseCopyable {
  /// The bits as stored in checkpoints.
  public var bitPattern: UInt16

  /// Takes the bits as they are.
  @inlinable
  public init(bitPattern: UInt16) { self.bitPattern = bitPattern }

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
