// From the bytes of a checkpoint to tensors and back.

import Files
public import Tensor

extension Checkpoint {
  /// Where the values of a tensor are kept.
  public enum Placement: Sendable {
    /// Where they lie in the mapped file, if the device can read them there: nothing is read before it is used.
    case mapped
    /// In memory of their own, in large pages: products of many rows are a tenth faster, decoding a fifth.
    case owned
  }

  /// The tensor `key` with elements of type `dtype` (a float type).
  ///
  /// `placement` matters where the tensor is stored in that type; a converted one has memory of its own.
  public func tensor(
    _ key: String, dtype: DType, placement: Placement = .mapped, on device: Device = .cpu
  ) throws(SafetensorsError) -> Tensor {
    let file = try file(of: key)
    let info = try file.supportedInfo(of: key)
    guard info.shape.count <= Shape.maximumRank else {
      throw .entry(
        path: file.path, key: key,
        problem: "expected at most \(Shape.maximumRank) axes, found \(info.shape.count)")
    }
    guard (dtype == .uint8) == (info.dtype == .u8) else {
      throw .entry(
        path: file.path, key: key,
        problem: "expected \(dtype.rawValue), found \(info.dtype.rawValue)")
    }
    let shape = Shape(info.shape)
    let stored: DType
    switch info.dtype {
    case .f32: stored = .float32
    case .bf16: stored = .bfloat16
    case .f64: stored = .float64
    case .f16: stored = .float16
    case .u8 where dtype == .uint8: stored = .uint8
    default:
      return try Tensor(file.floats(of: key), shape: shape, on: device).cast(to: dtype)
    }
    let bytes = try file.unsafeBytes(of: key)
    let tensor = Tensor(
      hostBytes: bytes, shape: shape, dtype: stored, owner: file, on: device)
    // What a device could not borrow has memory of its own already.
    if stored == dtype && (placement == .mapped || tensor.storage.isWritable) { return tensor }
    let copy = Tensor(uninitialized: shape, dtype, backend: device.backend)
    let flat = tensor.reshaped([tensor.count])
    for start in stride(from: 0, to: tensor.count, by: Checkpoint.pieceSize) {
      let piece = flat.rows(start..<min(start + Checkpoint.pieceSize, tensor.count))
      launch(piece, copy) {
        device.backend.cast(piece.operand, into: copy.destination.slice(start, piece.count))
      }
      // The pages will not be read again: the file's numbers and their copy are never both whole in memory.
      file.advise(.dontNeed, for: key)
    }
    return copy
  }

  /// The matrix `key` in bfloat16: compressed, in memory of its own, or as `placement` says where that is not possible.
  package func compressedTensor(
    _ key: String, forManyRows: Bool = false, placement: Placement = .mapped,
    on device: Device = .cpu
  ) throws(SafetensorsError) -> PackedWeight {
    let tensor = try tensor(key, dtype: .bfloat16, on: device)
    if let compressed = CompressedTensor(tensor, forManyRows: forManyRows) {
      try file(of: key).advise(.dontNeed, for: key)
      return .compressed(compressed)
    }
    // What was converted, or went to a device, is not read a second time.
    if placement == .mapped || tensor.storage.isWritable { return .narrow(tensor) }
    return .narrow(try self.tensor(key, dtype: .bfloat16, placement: placement, on: device))
  }

  /// Elements that are copied or converted at a time.
  private static let pieceSize = 1 << 24
}

extension SafetensorsWriter.Entry {
  /// The entry of a tensor under the name `key`.
  public init(key: String, tensor: Tensor) {
    self.init(key: key, tensor: tensor, dtype: tensor.dtype)
  }

  /// The entry of a tensor that is written as `dtype`.
  fileprivate init(key: String, tensor: Tensor, dtype: DType) {
    let dtype: SafetensorsDType =
      switch dtype {
      case .float32: .f32
      case .float64: .f64
      case .bfloat16: .bf16
      case .float16: .f16
      case .int32: .i32
      case .uint8: .u8
      }
    self.init(key: key, dtype: dtype, shape: tensor.shape.dimensions)
  }
}

extension SafetensorsWriter {
  /// Elements that are read back or converted at a time.
  package static let pieceSize = 1 << 22

  /// A failure of the device while a tensor was read back, or of the file.
  public enum TensorFailure: Error, Sendable, CustomStringConvertible {
    case device(DeviceError)
    case file(SafetensorsError)

    public var description: String {
      switch self {
      case .device(let error): error.description
      case .file(let error): error.description
      }
    }
  }

  /// Writes tensors to a file, in the order given and in their own type or as `dtype`, and makes it appear at `path`.
  ///
  /// They are read and converted piece by piece, so that none is there twice.
  public static func write(
    _ tensors: [(key: String, tensor: Tensor)], as dtype: DType? = nil, to path: String,
    metadata: [(key: String, value: String)] = [("format", "pt")]
  ) throws(TensorFailure) {
    do {
      let writer = try SafetensorsWriter(
        path: path,
        entries: tensors.map {
          Entry(key: $0.key, tensor: $0.tensor, dtype: dtype ?? $0.tensor.dtype)
        },
        metadata: metadata)
      for (key, tensor) in tensors {
        let numbers = tensor.reshaped([tensor.count])
        for start in stride(from: 0, to: tensor.count, by: pieceSize) {
          let piece = numbers.rows(start..<min(start + pieceSize, tensor.count))
          try writer.write(piece.cast(to: dtype ?? tensor.dtype).bytes(), of: key)
        }
      }
      try writer.commit()
    } catch let error as DeviceError {
      throw .device(error)
    } catch let error as SafetensorsError {
      throw .file(error)
    } catch {
      preconditionFailure("write: unexpected error \(error)")
    }
  }
}
