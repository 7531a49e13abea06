// The header of a safetensors file: 8 bytes of length (little-endian), then JSON, then the data. Every number
// in it is checked before anyone uses it; the rules are those of the reference implementation, and keys may
// not repeat.

import OrderedJSON

/// The checked header of a file.
struct SafetensorsHeader {
  /// The most bytes of JSON, as in the reference implementation.
  static let maximumByteCount = 100_000_000

  /// Names in the order of their data.
  let keys: [String]
  let entries: [UTF8Key: TensorInfo]
  let metadata: [(key: String, value: String)]

  /// The length of the JSON, from the first bytes of a file of `fileByteCount` bytes.
  static func jsonByteCount(_ prefix: [UInt8], fileByteCount: Int, path: String)
    throws(SafetensorsError) -> Int
  {
    guard prefix.count >= 8 else {
      throw .headerLength(
        path: path, problem: "expected at least 8 bytes, found \(fileByteCount)")
    }
    var length: UInt64 = 0
    for byte in prefix[..<8].reversed() { length = length << 8 | UInt64(byte) }
    guard length <= UInt64(maximumByteCount) else {
      throw .headerLength(
        path: path,
        problem: "expected a header of at most \(maximumByteCount) bytes, found \(length)")
    }
    guard Int(length) <= fileByteCount - 8 else {
      throw .headerLength(
        path: path,
        problem: "expected a header of \(length) bytes, found \(fileByteCount - 8) in all")
    }
    return Int(length)
  }

  /// Parses and checks the JSON of a file of `fileByteCount` bytes.
  init(json: [UInt8], fileByteCount: Int, path: String) throws(SafetensorsError) {
    let parsed: (value: JSON, duplicateKeys: [String])
    do { parsed = try JSON.parseNotingDuplicateKeys(json, maximumDepth: 8) } catch {
      throw .header(path: path, error: error)
    }
    guard case .object(let object) = parsed.value else {
      throw .headerContent(
        path: path, problem: "expected an object, found \(parsed.value.kindDescription)")
    }
    if let key = parsed.duplicateKeys.first {
      throw .headerContent(path: path, problem: "the key \(key.debugDescription) is there twice")
    }

    let dataStart = 8 + json.count
    var metadata: [(key: String, value: String)] = []
    var entries: [UTF8Key: TensorInfo] = [:]
    var order: [(key: String, range: Range<Int>)] = []
    for (key, value) in object {
      if UTF8Key(key) == UTF8Key("__metadata__") {
        metadata = try Self.metadata(value, path: path)
      } else {
        let info = try Self.entry(
          key, value, dataStart: dataStart, dataByteCount: fileByteCount - dataStart, path: path)
        entries[UTF8Key(key)] = info
        order.append((key, info.fileRange))
      }
    }

    // The data of all tensors, in order, fill the rest of the file without overlap or hole.
    order.sort {
      ($0.range.lowerBound, $0.range.upperBound) < ($1.range.lowerBound, $1.range.upperBound)
    }
    var end = dataStart
    for (key, range) in order {
      guard range.lowerBound == end else {
        throw .entry(
          path: path, key: key,
          problem:
            "expected its data to begin at \(end - dataStart), where the tensor before ends, "
            + "found \(range.lowerBound - dataStart)")
      }
      end = range.upperBound
    }
    guard end == fileByteCount else {
      throw .dataLength(path: path, expected: end, found: fileByteCount)
    }
    (self.keys, self.entries, self.metadata) = (order.map(\.key), entries, metadata)
  }

  private static func metadata(_ value: JSON, path: String) throws(SafetensorsError)
    -> [(key: String, value: String)]
  {
    guard case .object(let object) = value else {
      throw .headerContent(
        path: path, problem: "__metadata__: expected an object, found \(value.kindDescription)")
    }
    var result: [(key: String, value: String)] = []
    for (key, value) in object {
      guard case .string(let text) = value else {
        throw .headerContent(
          path: path,
          problem: "__metadata__: \(key.debugDescription): expected a string, "
            + "found \(value.kindDescription)")
      }
      result.append((key, text))
    }
    return result
  }

  private static func entry(
    _ key: String, _ value: JSON, dataStart: Int, dataByteCount: Int, path: String
  ) throws(SafetensorsError) -> TensorInfo {
    func fault(_ problem: String) -> SafetensorsError {
      .entry(path: path, key: key, problem: problem)
    }
    func describe(_ value: JSON?) -> String { value?.kindDescription ?? "nothing" }

    guard case .object(let object) = value else {
      throw fault("expected an object, found \(value.kindDescription)")
    }
    guard case .string(let name)? = object["dtype"] else {
      throw fault("dtype: expected a string, found \(describe(object["dtype"]))")
    }
    guard let dtype = SafetensorsDType(rawValue: name) else {
      throw fault("dtype: expected a type such as F32 or BF16, found \(name.debugDescription)")
    }
    guard case .array(let extents)? = object["shape"] else {
      throw fault("shape: expected an array, found \(describe(object["shape"]))")
    }
    var shape: [Int] = []
    shape.reserveCapacity(extents.count)
    for extent in extents {
      guard case .integer(let count) = extent, count >= 0 else {
        throw fault("shape: expected integers of 0 or more, found \(extent.serialized())")
      }
      shape.append(count)
    }
    guard case .array(let offsets)? = object["data_offsets"], offsets.count == 2,
      case .integer(let begin) = offsets[0], case .integer(let end) = offsets[1]
    else { throw fault("data_offsets: expected two integers") }
    guard begin >= 0, begin <= end else {
      throw fault("data_offsets: expected 0 ≤ begin ≤ end, found [\(begin), \(end)]")
    }
    guard end <= dataByteCount else {
      throw fault(
        "data_offsets: expected an end of at most \(dataByteCount), found \(end) "
          + "(is the file downloaded whole?)")
    }
    guard let byteCount = dtype.byteCount(shape: shape) else {
      throw fault("shape: \(name) \(shape) is no whole number of bytes below 2⁶⁰")
    }
    guard byteCount == end - begin else {
      throw fault(
        "expected \(byteCount) bytes for \(name) \(shape), found \(end - begin) in data_offsets")
    }
    // No overflow: end ≤ dataByteCount = fileByteCount − dataStart.
    return TensorInfo(
      dtype: dtype, shape: shape, fileRange: (dataStart + begin)..<(dataStart + end))
  }
}
