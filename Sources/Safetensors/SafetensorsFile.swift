// One safetensors file, mapped: tensors are handed out as bytes of the file, without a copy. It makes no
// tensors of its own.

public import Files
import OrderedJSON

/// A safetensors file opened for reading; its header is checked in full by the initializer.
///
/// Sharing across threads is free of cost: everything is immutable.
public final class SafetensorsFile: Sendable {
  /// The path.
  public let path: String
  /// The names of the tensors, in the order of their data.
  public let keys: [String]
  /// The strings of `__metadata__`, in their order.
  public let metadata: [(key: String, value: String)]
  /// The mapping that keeps the bytes of all tensors alive.
  package let mappedFile: MappedFile
  private let entries: [UTF8Key: TensorInfo]
  /// Bytes before the data of the first tensor.
  package let headerByteCount: Int

  /// Opens and checks the file at `path`.
  public init(path: String) throws(SafetensorsError) {
    do throws(FileError) { mappedFile = try MappedFile(path: path) } catch { throw .file(error) }
    self.path = path
    let fileByteCount = mappedFile.byteCount
    let prefix = mappedFile.withUnsafeBytes { Array($0.prefix(8)) }
    let length = try SafetensorsHeader.jsonByteCount(
      prefix, fileByteCount: fileByteCount, path: path)
    let json = mappedFile.withUnsafeBytes { Array($0[8..<(8 + length)]) }
    let header = try SafetensorsHeader(json: json, fileByteCount: fileByteCount, path: path)
    (keys, entries, metadata) = (header.keys, header.entries, header.metadata)
    headerByteCount = 8 + length
  }

  /// Whether there is a tensor named `key`.
  public func contains(_ key: String) -> Bool { entries[UTF8Key(key)] != nil }

  /// Type, shape and place of `key`, whatever its type.
  public func info(of key: String) throws(SafetensorsError) -> TensorInfo {
    guard let info = entries[UTF8Key(key)] else {
      throw .missingTensor(path: path, key: key)
    }
    return info
  }

  /// The value of `key` in the file's metadata.
  public func metadataValue(of key: String) -> String? {
    metadata.last { UTF8Key($0.key) == UTF8Key(key) }?.value
  }

  /// Type, shape and place of `key`, of a type that this project computes with.
  package func supportedInfo(of key: String) throws(SafetensorsError) -> TensorInfo {
    let info = try info(of: key)
    guard info.dtype.isSupported else {
      throw .unsupportedDType(
        path: path, key: key, dtype: info.dtype,
        expected: "F64, F32, F16, BF16, I64, I32, I16, I8, U8 or BOOL")
    }
    return info
  }

  /// The bytes of `key` in the mapping, valid as long as ``mappedFile`` is alive; not necessarily aligned.
  package func unsafeBytes(of key: String) throws(SafetensorsError) -> UnsafeRawBufferPointer {
    let range = try supportedInfo(of: key).fileRange
    return mappedFile.withUnsafeBytes { UnsafeRawBufferPointer(rebasing: $0[range]) }
  }

  /// Calls `body` with the bytes of `key`, little-endian and row-major.
  package func withUnsafeBytes<Result>(
    of key: String, _ body: (UnsafeRawBufferPointer) -> Result
  ) throws(SafetensorsError) -> Result {
    let bytes = try unsafeBytes(of: key)
    return withExtendedLifetime(mappedFile) { body(bytes) }
  }

  /// A copy of the bytes of `key`, little-endian and row-major.
  public func bytes(of key: String) throws(SafetensorsError) -> [UInt8] {
    try withUnsafeBytes(of: key) { Array($0) }
  }

  /// The elements of `key`, which is F64, F32, F16 or BF16, as float32.
  public func floats(of key: String) throws(SafetensorsError) -> [Float] {
    let info = try info(of: key)
    guard info.dtype.isFloatingPoint else {
      throw .unsupportedDType(
        path: path, key: key, dtype: info.dtype, expected: "F64, F32, F16 or BF16")
    }
    return try withUnsafeBytes(of: key) { bytes in
      [Float](unsafeUninitializedCapacity: info.elementCount) { buffer, count in
        count = info.elementCount
        FloatConversion.convert(
          bytes, info.dtype, into: UnsafeMutableBufferPointer(rebasing: buffer[..<count]))
      }
    }
  }

  /// Tells the system how the bytes of `key` will be used; an unknown key changes nothing.
  public func advise(_ advice: MappedFile.Advice, for key: String) {
    if let info = entries[UTF8Key(key)] { mappedFile.advise(advice, info.fileRange) }
  }
}
