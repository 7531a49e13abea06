// Stored floating-point elements to float32. Exact for F32, F16 and BF16; F64 is rounded to nearest even.

import Tensor

/// Conversion of little-endian bytes of a file to float32.
package enum FloatConversion {
  /// Converts all elements of `bytes`, which need no alignment, into `output`.
  ///
  /// - Precondition: `dtype.isFloatingPoint`, and `output` has as many elements as `bytes`.
  package static func convert(
    _ bytes: UnsafeRawBufferPointer, _ dtype: SafetensorsDType,
    into output: UnsafeMutableBufferPointer<Float>
  ) {
    precondition(dtype.isFloatingPoint, "FloatConversion: \(dtype.rawValue) is not floating point")
    let width = dtype.bitCount / 8
    precondition(
      bytes.count == output.count * width,
      "FloatConversion: \(bytes.count) bytes of \(dtype.rawValue) into \(output.count) elements")
    guard let source = bytes.baseAddress, let target = output.baseAddress else { return }
    switch dtype {
    case .f32:
      #if _endian(little)
        UnsafeMutableRawPointer(target).copyMemory(from: source, byteCount: bytes.count)
      #else
        for i in 0..<output.count {
          let bits = source.loadUnaligned(fromByteOffset: 4 * i, as: UInt32.self)
          target[i] = Float(bitPattern: UInt32(littleEndian: bits))
        }
      #endif
    case .bf16:
      for i in 0..<output.count {
        let bits = source.loadUnaligned(fromByteOffset: 2 * i, as: UInt16.self)
        target[i] = Float(bitPattern: UInt32(UInt16(littleEndian: bits)) << 16)
      }
    case .f16:
      for i in 0..<output.count {
        let bits = source.loadUnaligned(fromByteOffset: 2 * i, as: UInt16.self)
        target[i] = Half(bitPattern: UInt16(littleEndian: bits)).float
      }
    default:
      for i in 0..<output.count {
        let bits = source.loadUnaligned(fromByteOffset: 8 * i, as: UInt64.self)
        target[i] = Float(Double(bitPattern: UInt64(littleEndian: bits)))
      }
    }
  }
}
