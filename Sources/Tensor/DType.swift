// Element types that a tensor can hold. The type is a run-time value: one tensor type serves them all.

/// The element type of a tensor.
public enum DType: String, Sendable, Hashable, CaseIterable {
  /// IEEE single and double precision, the upper half of a float32, and integers.
  case float32, float64, bfloat16, int32, uint8
  /// IEEE half precision. Weights of checkpoints are kept in it and unpacked where they are used; nothing computes in it,
  /// and no kernel writes it.
  case float16

  /// Width of one element in bytes.
  public var byteWidth: Int {
    switch self {
    case .float64: 8
    case .float32, .int32: 4
    case .bfloat16, .float16: 2
    case .uint8: 1
    }
  }

  /// Whether elements are floating-point numbers.
  public var isFloatingPoint: Bool {
    switch self {
    case .float32, .float64, .bfloat16, .float16: true
    case .int32, .uint8: false
    }
  }

  /// The type in which statistics and sums over elements of this type are kept: float64 for float64, else float32.
  public var accumulation: DType { self == .float64 ? .float64 : .float32 }
}

/// A Swift type that tensors can be made from and read back as.
public protocol TensorScalar: BitwiseCopyable, Sendable {
  /// The element type that stores this Swift type bit for bit.
  static var dtype: DType { get }
}

extension Float: TensorScalar {
  public static var dtype: DType { .float32 }
}
extension Double: TensorScalar {
  public static var dtype: DType { .float64 }
}
extension Int32: TensorScalar {
  public static var dtype: DType { .int32 }
}
extension UInt8: TensorScalar {
  public static var dtype: DType { .uint8 }
}
extension Half: TensorScalar {
  public static var dtype: DType { .float16 }
}
extension BFloat16: TensorScalar {
  public static var dtype: DType { .bfloat16 }
}
