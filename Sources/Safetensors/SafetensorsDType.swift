// The element types of the safetensors format. Which of them this project computes with is Tensor's business.

/// An element type as the format names it; the raw value is the name in the file.
public enum SafetensorsDType: String, Sendable, Hashable, CaseIterable {
  // In the order of the reference implementation, which sorts a file's tensors by it.
  /// One byte, 0 or 1.
  case bool = "BOOL"
  /// 4-bit float, two to a byte.
  case f4 = "F4"
  /// 6-bit float.
  case f6E2M3 = "F6_E2M3"
  /// 6-bit float.
  case f6E3M2 = "F6_E3M2"
  /// Unsigned byte.
  case u8 = "U8"
  /// Signed byte.
  case i8 = "I8"
  /// 8-bit float.
  case f8E5M2 = "F8_E5M2"
  /// 8-bit float.
  case f8E4M3 = "F8_E4M3"
  /// 8-bit float.
  case f8E8M0 = "F8_E8M0"
  /// 8-bit float.
  case f8E4M3FNUZ = "F8_E4M3FNUZ"
  /// 8-bit float.
  case f8E5M2FNUZ = "F8_E5M2FNUZ"
  /// 16-bit signed integer.
  case i16 = "I16"
  /// 16-bit unsigned integer.
  case u16 = "U16"
  /// IEEE half precision.
  case f16 = "F16"
  /// bfloat16: the upper half of a float32.
  case bf16 = "BF16"
  /// 32-bit signed integer.
  case i32 = "I32"
  /// 32-bit unsigned integer.
  case u32 = "U32"
  /// IEEE single precision.
  case f32 = "F32"
  /// Two float32.
  case c64 = "C64"
  /// IEEE double precision.
  case f64 = "F64"
  /// 64-bit signed integer.
  case i64 = "I64"
  /// 64-bit unsigned integer.
  case u64 = "U64"

  /// The bits of an element.
  public var bitCount: Int {
    switch self {
    case .f4: 4
    case .f6E2M3, .f6E3M2: 6
    case .bool, .u8, .i8, .f8E5M2, .f8E4M3, .f8E8M0, .f8E4M3FNUZ, .f8E5M2FNUZ: 8
    case .i16, .u16, .f16, .bf16: 16
    case .i32, .u32, .f32: 32
    case .c64, .f64, .i64, .u64: 64
    }
  }

  /// Whether this project can hand out elements of the type.
  public var isSupported: Bool {
    switch self {
    case .f64, .f32, .f16, .bf16, .i64, .i32, .i16, .i8, .u8, .bool: true
    default: false
    }
  }

  /// Whether the type converts to float32 by ``FloatConversion``.
  public var isFloatingPoint: Bool {
    switch self {
    case .f64, .f32, .f16, .bf16: true
    default: false
    }
  }

  /// The bytes of a tensor of `shape`; nil where the count overflows or a byte would be shared.
  func byteCount(shape: [Int]) -> Int? {
    var bits = bitCount
    for extent in shape {
      let (product, overflow) = bits.multipliedReportingOverflow(by: extent)
      if overflow { return nil }
      bits = product
    }
    return bits % 8 == 0 ? bits / 8 : nil
  }
}

/// Type, shape and place of one stored tensor.
public struct TensorInfo: Sendable, Hashable {
  /// The element type.
  public let dtype: SafetensorsDType
  /// The extents, outermost first; empty for a scalar.
  public let shape: [Int]
  /// The bytes in the file, counted from the file's start. Not aligned unless the writer took care.
  public let fileRange: Range<Int>

  /// The size in bytes.
  public var byteCount: Int { fileRange.count }
  /// The number of elements.
  public var elementCount: Int { shape.reduce(1, *) }
}
