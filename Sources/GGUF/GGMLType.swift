// The element types of GGUF files that this project writes and reads. The numbers are ggml's.

/// How the elements of a tensor are stored; the raw value is the number in the file.
package enum GGMLType: UInt32, Sendable, Hashable, CaseIterable {
  /// IEEE single precision.
  case f32 = 0
  /// IEEE half precision.
  case f16 = 1
  /// Blocks of 32: a half-precision scale and 5-bit integers.
  case q5_0 = 6
  /// Blocks of 32: a half-precision scale and 8-bit integers.
  case q8_0 = 8
  /// Blocks of 256: 8 sub-blocks with 6-bit scales and minima, 4-bit integers.
  case q4_K = 12
  /// Blocks of 256: 16 sub-blocks with 8-bit scales, 6-bit integers.
  case q6_K = 14
  /// The upper half of an IEEE single.
  case bf16 = 30

  /// ggml's name.
  package var name: String {
    switch self {
    case .f32: "F32"
    case .f16: "F16"
    case .q5_0: "Q5_0"
    case .q8_0: "Q8_0"
    case .q4_K: "Q4_K"
    case .q6_K: "Q6_K"
    case .bf16: "BF16"
    }
  }

  /// Elements of a block.
  package var blockLength: Int {
    switch self {
    case .f32, .f16, .bf16: 1
    case .q5_0, .q8_0: 32
    case .q4_K, .q6_K: 256
    }
  }

  /// Bytes of a block.
  package var blockByteCount: Int {
    switch self {
    case .f32: 4
    case .f16, .bf16: 2
    case .q5_0: 22
    case .q8_0: 34
    case .q4_K: 144
    case .q6_K: 210
    }
  }

  /// Whether elements are integers with scales.
  package var isQuantized: Bool { blockLength > 1 }

  /// The largest magnitude that an element can have: that of its half-precision scales where it has some.
  package var largestMagnitude: Float {
    switch self {
    case .f32, .bf16: .greatestFiniteMagnitude
    default: 65_504
    }
  }

  /// The bytes of `count` elements, a multiple of ``blockLength``; nil where that overflows or is no multiple.
  package func byteCount(of count: Int) -> Int? {
    guard count >= 0, count % blockLength == 0 else { return nil }
    let (bytes, overflow) = (count / blockLength).multipliedReportingOverflow(by: blockByteCount)
    return overflow ? nil : bytes
  }
}
