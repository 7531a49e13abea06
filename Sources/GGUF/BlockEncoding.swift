// From float32 to the types of ggml. Every sum and rounding is in the order of ggml's reference code (`quantize_row_*_ref`),
// so that files are equal to those of llama.cpp to the bit.

import Tensor

/// Encoding of rows of numbers.
package enum BlockEncoding {
  /// Why numbers cannot be encoded.
  package enum Fault: Error, Sendable, Hashable {
    /// One is infinite or not a number.
    case notFinite
    /// One is beyond what the type can hold.
    case tooLarge(Float)
  }

  /// Values encoded as a task of one thread: a multiple of every block's length.
  private static let grain = 1 << 14

  /// The bytes of `values`, whose number is a multiple of the type's blocks.
  package static func encode(_ values: [Float], as type: GGMLType) throws(Fault) -> [UInt8] {
    guard let byteCount = type.byteCount(of: values.count) else {
      preconditionFailure("encode: \(values.count) values as \(type.name)")
    }
    try check(values, type)
    return [UInt8](unsafeUninitializedCapacity: byteCount) { bytes, count in
      count = byteCount
      guard let start = UnsafeMutableRawPointer(bytes.baseAddress) else { return }
      values.withUnsafeBufferPointer { values in
        guard let source = values.baseAddress else { return }
        parallelFor(values.count, grain: grain) { range in
          let target = start + range.lowerBound / type.blockLength * type.blockByteCount
          encode(source + range.lowerBound, range.count, type, target)
        }
      }
    }
  }

  private static func check(_ values: [Float], _ type: GGMLType) throws(Fault) {
    var largest: Float = 0
    for value in values {
      // The comparison is false for what is no number.
      guard value.magnitude <= .greatestFiniteMagnitude else { throw .notFinite }
      largest = max(largest, value.magnitude)
    }
    if largest > type.largestMagnitude { throw .tooLarge(largest) }
  }

  private static func encode(
    _ x: UnsafePointer<Float>, _ count: Int, _ type: GGMLType, _ y: UnsafeMutableRawPointer
  ) {
    switch type {
    case .f32:
      for i in 0..<count { store(x[i].bitPattern, to: y + 4 * i) }
    case .f16:
      for i in 0..<count { store(Half(x[i]).bitPattern, to: y + 2 * i) }
    case .bf16:
      for i in 0..<count { store(BFloat16(x[i]).bitPattern, to: y + 2 * i) }
    case .q5_0: blocks(x, count, type, y, encodeQ5_0)
    case .q8_0: blocks(x, count, type, y, encodeQ8_0)
    case .q4_K: blocks(x, count, type, y, encodeQ4_K)
    case .q6_K: blocks(x, count, type, y, encodeQ6_K)
    }
  }

  @inline(__always)
  private static func blocks(
    _ x: UnsafePointer<Float>, _ count: Int, _ type: GGMLType, _ y: UnsafeMutableRawPointer,
    _ block: (UnsafePointer<Float>, UnsafeMutableRawPointer) -> Void
  ) {
    for index in 0..<count / type.blockLength {
      block(x + index * type.blockLength, y + index * type.blockByteCount)
    }
  }

  @inline(__always)
  static func store<Number: FixedWidthInteger>(_ value: Number, to y: UnsafeMutableRawPointer) {
    y.storeBytes(of: value.littleEndian, as: Number.self)
  }

  /// To the nearest integer, ties to even, by the addition that ggml uses. x is within ±2²².
  @inline(__always)
  static func nearest<V: SIMD>(_ x: V) -> V where V.Scalar == Float {
    let magic = V(repeating: 12_582_912)
    return (x + magic) - magic
  }

  /// The same of one number.
  @inline(__always)
  static func nearest(_ x: Float) -> Float { (x + 12_582_912) - 12_582_912 }

  // MARK: Blocks of 32

  /// d = max |x| / 127; q = x / d, halves away from zero.
  private static func encodeQ8_0(_ x: UnsafePointer<Float>, _ y: UnsafeMutableRawPointer) {
    var largest: Float = 0
    for i in 0..<32 { largest = max(largest, x[i].magnitude) }
    let d = largest / 127
    let inverse = d != 0 ? 1 / d : 0
    store(Half(d).bitPattern, to: y)
    for i in 0..<32 {
      let q = (x[i] * inverse).rounded(.toNearestOrAwayFromZero)
      store(Int8(max(-128, min(127, q))), to: y + 2 + i)
    }
  }

  /// d = (the x of greatest magnitude) / −16; q = x / d + 16, in 5 bits: the lower four together, the fifth apart.
  private static func encodeQ5_0(_ x: UnsafePointer<Float>, _ y: UnsafeMutableRawPointer) {
    var largest: Float = 0
    var extreme: Float = 0
    for i in 0..<32 where largest < x[i].magnitude {
      largest = x[i].magnitude
      extreme = x[i]
    }
    let d = extreme / -16
    let inverse = d != 0 ? 1 / d : 0
    store(Half(d).bitPattern, to: y)
    var high: UInt32 = 0
    for i in 0..<16 {
      let first = UInt32(max(0, min(31, x[i] * inverse + 16.5)))
      let second = UInt32(max(0, min(31, x[i + 16] * inverse + 16.5)))
      store(UInt8(truncatingIfNeeded: (first & 15) | (second & 15) << 4), to: y + 6 + i)
      high |= (first >> 4) << UInt32(i) | (second >> 4) << UInt32(i + 16)
    }
    store(high, to: y + 2)
  }
}
