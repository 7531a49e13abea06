// Writing a safetensors file, tensor by tensor in the given order, without holding more than one piece. The
// file appears on commit, as with every file here.

import Files
import OrderedJSON

/// A safetensors file being written.
///
/// The header is written first, so names, types and shapes are given before any data. The bytes are the same
/// as those of the reference implementation for the same order of tensors
/// (see ``Entry/inReferenceOrder(_:)``).
public final class SafetensorsWriter {
  /// Name, type and shape of a tensor to be written.
  public struct Entry: Sendable, Hashable {
    /// The name.
    public let key: String
    /// The element type.
    public let dtype: SafetensorsDType
    /// The extents, outermost first.
    public let shape: [Int]

    /// An entry. Extents are 0 or more.
    public init(key: String, dtype: SafetensorsDType, shape: [Int]) {
      (self.key, self.dtype, self.shape) = (key, dtype, shape)
    }

    /// The entries in the order in which the reference implementation writes them: larger types first,
    /// then by name.
    public static func inReferenceOrder(_ entries: [Entry]) -> [Entry] {
      let ranks = SafetensorsDType.allCases
      func rank(_ dtype: SafetensorsDType) -> Int { ranks.firstIndex(of: dtype) ?? 0 }
      return entries.sorted { left, right in
        left.dtype == right.dtype
          ? left.key.utf8.lexicographicallyPrecedes(right.key.utf8)
          : rank(left.dtype) > rank(right.dtype)
      }
    }
  }

  /// Where the file will appear.
  public let path: String
  private let file: AtomicFile
  private let entries: [Entry]
  private let byteCounts: [Int]
  private var current = 0
  private var writtenOfCurrent = 0
  private var digest: ContentDigest?

  /// A checksum of what has been written: 8 bytes, empty unless asked for.
  ///
  /// It is that of the pieces in which tensors were written: whole tensors, for ``SafetensorsFile`` to find the same.
  package var contentDigest: [UInt8] { digest?.bytes ?? [] }

  /// Begins a file and writes its header; with `digestsContent`, the data are digested on the way.
  ///
  /// - Precondition: names are distinct and none is `__metadata__`; sizes do not overflow.
  public init(
    path: String, entries: [Entry], metadata: [(key: String, value: String)] = [("format", "pt")],
    digestsContent: Bool = false
  ) throws(SafetensorsError) {
    self.path = path
    self.entries = entries
    digest = digestsContent ? ContentDigest() : nil
    var header = JSONObject()
    if !metadata.isEmpty {
      header["__metadata__"] = .object(JSONObject(metadata.map { ($0.key, .string($0.value)) }))
    }
    var byteCounts: [Int] = []
    var offset = 0
    for entry in entries {
      guard let byteCount = entry.dtype.byteCount(shape: entry.shape) else {
        preconditionFailure("SafetensorsWriter: \(entry.key): no size for \(entry.shape)")
      }
      precondition(header[entry.key] == nil, "SafetensorsWriter: \(entry.key) is there twice")
      let end = offset + byteCount
      header[entry.key] = [
        "dtype": .string(entry.dtype.rawValue), "shape": .array(entry.shape.map { .integer($0) }),
        "data_offsets": [.integer(offset), .integer(end)],
      ]
      byteCounts.append(byteCount)
      offset = end
    }
    self.byteCounts = byteCounts

    var json = JSON.object(header).serializedBytes(style: .compact)
    json.append(contentsOf: repeatElement(0x20, count: (8 - json.count % 8) % 8))
    guard json.count <= SafetensorsHeader.maximumByteCount else {
      throw .headerLength(
        path: path,
        problem: "expected a header of at most \(SafetensorsHeader.maximumByteCount) bytes, "
          + "found \(json.count)")
    }
    var length = UInt64(json.count)
    var prefix: [UInt8] = []
    for _ in 0..<8 {
      prefix.append(UInt8(truncatingIfNeeded: length))
      length >>= 8
    }
    do throws(FileError) {
      file = try AtomicFile(path: path)
      try file.write(prefix)
      try file.write(json)
    } catch { throw .file(error) }
    skipComplete()
  }

  /// Appends a piece of the data of the current tensor: the first one that is not complete.
  ///
  /// - Precondition: no more bytes than the tensor still lacks, and `key` is its name.
  public func write(_ bytes: RawSpan, of key: String) throws(SafetensorsError) {
    if bytes.isEmpty { return }
    precondition(
      current < entries.count && UTF8Key(entries[current].key) == UTF8Key(key),
      "SafetensorsWriter: \(key) is not the tensor whose turn it is")
    precondition(
      writtenOfCurrent + bytes.byteCount <= byteCounts[current],
      "SafetensorsWriter: \(key): more bytes than its shape has")
    do throws(FileError) { try file.write(bytes) } catch { throw .file(error) }
    bytes.withUnsafeBytes { digest?.add($0) }
    writtenOfCurrent += bytes.byteCount
    skipComplete()
  }

  /// Appends a piece of the data of the current tensor.
  public func write(_ bytes: [UInt8], of key: String) throws(SafetensorsError) {
    try write(bytes.span.bytes, of: key)
  }

  /// Appends a piece of the data of the current tensor, which is F32.
  public func write(_ values: [Float], of key: String) throws(SafetensorsError) {
    #if _endian(little)
      try write(values.span.bytes, of: key)
    #else
      try write(values.map { $0.bitPattern.littleEndian }.span.bytes, of: key)
    #endif
  }

  /// Appends a piece of the data of the current tensor.
  package func write(_ bytes: UnsafeRawBufferPointer, of key: String) throws(SafetensorsError) {
    try write(bytes.bytes, of: key)
  }

  /// Makes the file appear at its path.
  ///
  /// - Precondition: every tensor is complete.
  public func commit() throws(SafetensorsError) {
    precondition(
      current == entries.count,
      "SafetensorsWriter: \(current < entries.count ? entries[current].key : "") is not complete")
    do throws(FileError) { try file.commit() } catch { throw .file(error) }
  }

  private func skipComplete() {
    while current < entries.count, writtenOfCurrent == byteCounts[current] {
      current += 1
      writtenOfCurrent = 0
    }
  }
}
