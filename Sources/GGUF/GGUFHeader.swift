// The head of a GGUF file: counts, metadata, tensor entries. Every length is checked against what is left of the file
// before anything is made of it.

import Files

/// Type, shape and place of a tensor.
package struct GGUFTensorInfo: Sendable, Hashable {
  /// The name.
  package let name: String
  /// How its elements are stored.
  package let type: GGMLType
  /// The extents, outermost first: the reverse of the file's order.
  package let shape: [Int]
  /// The bytes in the file, counted from the file's start.
  package let fileRange: Range<Int>

  /// Number of elements.
  package var count: Int { shape.reduce(1, *) }
}

/// What a head says, checked in full.
struct GGUFHeader {
  private(set) var metadata: [(key: String, value: GGUFValue)] = []
  private(set) var tensors: [GGUFTensorInfo] = []
  private(set) var alignment = GGUFHeader.defaultAlignment

  static let magic = Array("GGUF".utf8)
  static let alignmentKey = "general.alignment"
  static let defaultAlignment = 32
  static let maximumRank = 4

  private let bytes: UnsafeRawBufferPointer
  private let path: String
  private var offset = 0

  /// Reads the head of a mapped file; `bytes` are valid for the call.
  init(_ bytes: UnsafeRawBufferPointer, path: String) throws(GGUFError) {
    (self.bytes, self.path) = (bytes, path)
    guard bytes.count >= 24, bytes.prefix(4).elementsEqual(Self.magic) else {
      throw fault("expected GGUF (is it a GGUF file, downloaded whole?)")
    }
    offset = 4
    let version = try integer(UInt32.self)
    guard (2...3).contains(version) else {
      throw fault("expected version 2 or 3, found \(version)")
    }
    let tensorCount = try count(of: "tensors", minimumByteCount: 24)
    let keyCount = try count(of: "keys", minimumByteCount: 13)
    var keys = Set<String>()
    for _ in 0..<keyCount {
      let key = try text("a key")
      guard keys.insert(key).inserted else { throw fault("the key \(key) is there twice") }
      metadata.append((key, try value(key)))
    }
    try readAlignment()
    var entries: [(name: String, type: GGMLType, shape: [Int], offset: Int)] = []
    var names = Set<String>()
    for _ in 0..<tensorCount {
      let entry = try entry()
      guard names.insert(entry.name).inserted else {
        throw .tensor(path: path, name: entry.name, problem: "is there twice")
      }
      entries.append(entry)
    }
    try place(entries)
  }

  private mutating func readAlignment() throws(GGUFError) {
    guard let value = metadata.first(where: { $0.key == Self.alignmentKey })?.value else { return }
    guard let number = value.integerValue, (1...65_536).contains(number), number & (number - 1) == 0
    else {
      throw .metadata(path: path, key: Self.alignmentKey, problem: "expected a power of two")
    }
    alignment = number
  }

  private mutating func entry() throws(GGUFError) -> (
    name: String, type: GGMLType, shape: [Int], offset: Int
  ) {
    let name = try text("a tensor's name")
    func wrong(_ problem: String) -> GGUFError {
      .tensor(path: path, name: String(name.prefix(80)), problem: problem)
    }
    let rank = Int(try integer(UInt32.self))
    guard (1...Self.maximumRank).contains(rank) else { throw wrong("expected 1 to 4 axes") }
    var shape: [Int] = []
    var elements = 1
    for _ in 0..<rank {
      guard let extent = Int(exactly: try integer(UInt64.self)), extent > 0 else {
        throw wrong("expected extents above 0")
      }
      let (product, overflow) = elements.multipliedReportingOverflow(by: extent)
      guard !overflow else { throw wrong("its size overflows") }
      elements = product
      shape.insert(extent, at: 0)
    }
    let number = try integer(UInt32.self)
    guard let type = GGMLType(rawValue: number) else {
      throw wrong(
        "type \(number) is not read (expected one of "
          + GGMLType.allCases.map(\.name).joined(separator: ", ") + ")")
    }
    guard shape[rank - 1] % type.blockLength == 0 else {
      throw wrong("rows of \(shape[rank - 1]) are no multiple of \(type.blockLength)")
    }
    guard let place = Int(exactly: try integer(UInt64.self)), place % alignment == 0 else {
      throw wrong("expected an offset that is a multiple of \(alignment)")
    }
    return (name, type, shape, place)
  }

  private mutating func place(
    _ entries: [(name: String, type: GGMLType, shape: [Int], offset: Int)]
  ) throws(GGUFError) {
    let start = (offset + alignment - 1) / alignment * alignment
    for (name, type, shape, offset) in entries {
      let count = shape.reduce(1, *)
      guard let byteCount = type.byteCount(of: count), offset <= bytes.count,
        start <= bytes.count - offset, byteCount <= bytes.count - offset - start
      else {
        throw .tensor(
          path: path, name: name,
          problem: "its data end beyond the file (is it downloaded whole?)")
      }
      let first = start + offset
      tensors.append(
        GGUFTensorInfo(name: name, type: type, shape: shape, fileRange: first..<first + byteCount))
    }
    let byPlace = tensors.sorted { $0.fileRange.lowerBound < $1.fileRange.lowerBound }
    for (left, right) in zip(byPlace, byPlace.dropFirst())
    where left.fileRange.upperBound > right.fileRange.lowerBound {
      throw .tensor(path: path, name: right.name, problem: "overlaps \(left.name)")
    }
  }

  // MARK: Values

  private mutating func value(_ key: String) throws(GGUFError) -> GGUFValue {
    let code = try code()
    guard code == .array else { return try scalar(code) }
    let element = try self.code()
    guard element != .array else { throw fault("\(key): arrays of arrays are not read") }
    let count = try count(of: key, minimumByteCount: element.minimumByteCount)
    switch element {
    case .string:
      var values: [String] = []
      values.reserveCapacity(count)
      for _ in 0..<count { values.append(try text(key)) }
      return .strings(values)
    case .int32:
      var values: [Int32] = []
      values.reserveCapacity(count)
      for _ in 0..<count { values.append(try integer(Int32.self)) }
      return .int32s(values)
    default:
      var values: [GGUFValue] = []
      for _ in 0..<count { values.append(try scalar(element)) }
      return .array(values)
    }
  }

  private mutating func scalar(_ code: GGUFValue.Code) throws(GGUFError) -> GGUFValue {
    switch code {
    case .uint8: .uint8(try integer(UInt8.self))
    case .int8: .int8(try integer(Int8.self))
    case .uint16: .uint16(try integer(UInt16.self))
    case .int16: .int16(try integer(Int16.self))
    case .uint32: .uint32(try integer(UInt32.self))
    case .int32: .int32(try integer(Int32.self))
    case .uint64: .uint64(try integer(UInt64.self))
    case .int64: .int64(try integer(Int64.self))
    case .float32: .float32(Float(bitPattern: try integer(UInt32.self)))
    case .float64: .float64(Double(bitPattern: try integer(UInt64.self)))
    case .bool: .bool(try integer(UInt8.self) != 0)
    case .string: .string(try text("a text"))
    case .array: throw fault("expected a single value")
    }
  }

  private mutating func code() throws(GGUFError) -> GGUFValue.Code {
    let number = try integer(UInt32.self)
    guard let code = GGUFValue.Code(rawValue: number) else {
      throw fault("expected a type of values, found \(number)")
    }
    return code
  }

  /// A count of things that take at least so many bytes each, which the file must still have.
  private mutating func count(of what: String, minimumByteCount: Int) throws(GGUFError) -> Int {
    let number = try integer(UInt64.self)
    guard let count = Int(exactly: number), count <= (bytes.count - offset) / minimumByteCount
    else { throw fault("\(what.prefix(80)): \(number) of them do not fit the file") }
    return count
  }

  private mutating func text(_ what: String) throws(GGUFError) -> String {
    let count = try count(of: what, minimumByteCount: 1)
    let range = offset..<offset + count
    guard
      let text = String(validating: UnsafeRawBufferPointer(rebasing: bytes[range]), as: UTF8.self)
    else { throw fault("\(what.prefix(80)): expected UTF-8") }
    offset += count
    return text
  }

  private mutating func integer<Number: FixedWidthInteger>(_ type: Number.Type) throws(GGUFError)
    -> Number
  {
    let width = MemoryLayout<Number>.size
    guard width <= bytes.count - offset else { throw fault("the file ends here") }
    let number = bytes.loadUnaligned(fromByteOffset: offset, as: Number.self)
    offset += width
    return Number(littleEndian: number)
  }

  private func fault(_ problem: String) -> GGUFError {
    .header(path: path, offset: offset, problem: problem)
  }
}
