// From the types of ggml to float32, as ggml and gguf-py read them.

import Tensor

/// Decoding of blocks.
package enum BlockDecoding {
  private static let grain = 1 << 14

  /// The `count` numbers that `bytes` hold.
  package static func decode(_ bytes: UnsafeRawBufferPointer, as type: GGMLType, count: Int)
    -> [Float]
  {
    precondition(
      type.byteCount(of: count) == bytes.count,
      "decode: \(bytes.count) bytes of \(type.name) for \(count) numbers")
    return [Float](unsafeUninitializedCapacity: count) { values, initialized in
      initialized = count
      guard let source = bytes.baseAddress, let target = values.baseAddress else { return }
      parallelFor(count, grain: grain) { range in
        let first = range.lowerBound / type.blockLength
        for index in first..<first + range.count / type.blockLength {
          block(
            source + index * type.blockByteCount, type, target + index * type.blockLength)
        }
      }
    }
  }

  /// The numbers of `bytes`.
  package static func decode(_ bytes: [UInt8], as type: GGMLType) -> [Float] {
    bytes.withUnsafeBytes {
      decode($0, as: type, count: bytes.count / type.blockByteCount * type.blockLength)
    }
  }

  @inline(__always)
  private static func block(
    _ x: UnsafeRawPointer, _ type: GGMLType, _ y: UnsafeMutablePointer<Float>
  ) {
    switch type {
    case .f32:
      y[0] = Float(
        bitPattern: UInt32(littleEndian: x.loadUnaligned(fromByteOffset: 0, as: UInt32.self)))
    case .f16: y[0] = half(x)
    case .bf16:
      y[0] = Float(
        bitPattern: UInt32(UInt16(littleEndian: x.loadUnaligned(as: UInt16.self))) << 16)
    case .q8_0:
      let d = half(x)
      for i in 0..<32 { y[i] = d * Float(x.load(fromByteOffset: 2 + i, as: Int8.self)) }
    case .q5_0: decodeQ5_0(x, y)
    case .q4_K: decodeQ4_K(x, y)
    case .q6_K: decodeQ6_K(x, y)
    }
  }

  @inline(__always)
  private static func half(_ x: UnsafeRawPointer) -> Float {
    Half(bitPattern: UInt16(littleEndian: x.loadUnaligned(as: UInt16.self))).float
  }

  @inline(__always)
  private static func byte(_ x: UnsafeRawPointer, _ offset: Int) -> UInt8 {
    x.load(fromByteOffset: offset, as: UInt8.self)
  }

  private static func decodeQ5_0(_ x: UnsafeRawPointer, _ y: UnsafeMutablePointer<Float>) {
    let d = half(x)
    let high = UInt32(littleEndian: x.loadUnaligned(fromByteOffset: 2, as: UInt32.self))
    for i in 0..<16 {
      let low = UInt32(byte(x, 6 + i))
      let first = low & 15 | ((high >> UInt32(i)) & 1) << 4
      let second = low >> 4 | ((high >> UInt32(i + 16)) & 1) << 4
      y[i] = d * Float(Int32(first) - 16)
      y[i + 16] = d * Float(Int32(second) - 16)
    }
  }

  private static func decodeQ4_K(_ x: UnsafeRawPointer, _ y: UnsafeMutablePointer<Float>) {
    let (d, dMin) = (half(x), half(x + 2))
    for j in 0..<8 {
      let (scale, minimum): (UInt8, UInt8)
      if j < 4 {
        (scale, minimum) = (byte(x, 4 + j) & 63, byte(x, 8 + j) & 63)
      } else {
        let low = byte(x, 8 + j)
        scale = low & 15 | (byte(x, j) >> 6) << 4
        minimum = low >> 4 | (byte(x, 4 + j) >> 6) << 4
      }
      let (s, m) = (d * Float(scale), dMin * Float(minimum))
      let shift = UInt8(j % 2 * 4)
      for i in 0..<32 {
        y[32 * j + i] = s * Float((byte(x, 16 + 32 * (j / 2) + i) >> shift) & 15) - m
      }
    }
  }

  private static func decodeQ6_K(_ x: UnsafeRawPointer, _ y: UnsafeMutablePointer<Float>) {
    let d = half(x + 208)
    for index in 0..<256 {
      let (part, quarter, i) = (index / 128, index % 128 / 32, index % 32)
      let low = byte(x, 64 * part + quarter % 2 * 32 + i) >> UInt8(quarter / 2 * 4) & 15
      let high = byte(x, 128 + 32 * part + i) >> UInt8(2 * quarter) & 3
      let scale = Float(x.load(fromByteOffset: 192 + index / 16, as: Int8.self))
      y[index] = d * scale * Float(Int32(low | high << 4) - 32)
    }
  }
}
