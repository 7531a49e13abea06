// A checkpoint: one safetensors file, or shards with an index, seen as one set of tensors.

public import Files
import Glibc
import OrderedJSON

/// The tensors of a model folder in Hugging Face layout, or of one file.
public final class Checkpoint: Sendable {
  /// The folder or file it was opened with.
  public let path: String
  /// The names of the tensors: file by file, each in the order of its data.
  public let keys: [String]
  /// The files, in the order of the index.
  public let files: [SafetensorsFile]
  private let fileOfKey: [UTF8Key: Int]

  /// The name of the single file.
  public static let fileName = "model.safetensors"
  /// The name of the index of a sharded checkpoint.
  public static let indexName = "model.safetensors.index.json"

  /// Opens the checkpoint in `folder`: `model.safetensors`, or else the shards that
  /// `model.safetensors.index.json` lists. Tensors of a shard that the index does not list are left out.
  public convenience init(folder: String) throws(SafetensorsError) {
    let file = FileSystem.join(folder, Self.fileName)
    let index = FileSystem.join(folder, Self.indexName)
    if FileSystem.kind(of: file) != nil {
      try self.init(path: folder, files: [SafetensorsFile(path: file)], weightMap: nil)
    } else if FileSystem.kind(of: index) != nil {
      let (names, weightMap) = try Self.readIndex(index)
      var files: [SafetensorsFile] = []
      for name in names {
        files.append(try SafetensorsFile(path: FileSystem.join(folder, name)))
      }
      try self.init(path: folder, files: files, weightMap: (index, weightMap))
    } else {
      throw .noCheckpoint(path: folder, hint: Self.hint(folder))
    }
  }

  /// Opens one file of any name, such as an adapter.
  public convenience init(file: String) throws(SafetensorsError) {
    try self.init(path: file, files: [SafetensorsFile(path: file)], weightMap: nil)
  }

  private init(
    path: String, files: [SafetensorsFile], weightMap: (index: String, map: [UTF8Key: Int])?
  ) throws(SafetensorsError) {
    var keys: [String] = []
    var fileOfKey: [UTF8Key: Int] = [:]
    for (number, file) in files.enumerated() {
      for key in file.keys where weightMap == nil || weightMap?.map[UTF8Key(key)] == number {
        keys.append(key)
        fileOfKey[UTF8Key(key)] = number
      }
    }
    if let (index, map) = weightMap, map.count != keys.count {
      let lost = map.keys.filter { fileOfKey[$0] == nil }.map(\.text)
      let key = lost.min { $0.utf8.lexicographicallyPrecedes($1.utf8) } ?? ""
      let shard = map[UTF8Key(key)].map { FileSystem.name(of: files[$0].path) } ?? ""
      let elsewhere = files.first { $0.contains(key) }.map {
        ", found in \(FileSystem.name(of: $0.path))"
      }
      throw .indexContent(
        path: index,
        problem: "weight_map: expected \(key.debugDescription) in \(shard)"
          + (elsewhere ?? ", which has no such tensor") + " (do index and shards belong together?)")
    }
    (self.path, self.files, self.keys, self.fileOfKey) = (path, files, keys, fileOfKey)
  }

  /// The shard names of an index and the shard of every key. Names lead to files beside the index only.
  private static func readIndex(_ path: String) throws(SafetensorsError)
    -> (names: [String], map: [UTF8Key: Int])
  {
    let bytes: [UInt8]
    do throws(FileError) {
      bytes = try FileSystem.readFile(path, maximumByteCount: SafetensorsHeader.maximumByteCount)
    } catch { throw .file(error) }
    let parsed: (value: JSON, duplicateKeys: [String])
    do { parsed = try JSON.parseNotingDuplicateKeys(bytes, maximumDepth: 16) } catch {
      throw .index(path: path, error: error)
    }
    guard case .object(let object)? = parsed.value["weight_map"] else {
      throw .indexContent(
        path: path,
        problem: "weight_map: expected an object, "
          + "found \(parsed.value["weight_map"]?.kindDescription ?? "nothing")")
    }
    if let key = parsed.duplicateKeys.first {
      throw .indexContent(path: path, problem: "the key \(key.debugDescription) is there twice")
    }
    var names: [String] = []
    var numbers: [UTF8Key: Int] = [:]
    var map: [UTF8Key: Int] = [:]
    for (key, value) in object {
      guard case .string(let name) = value else {
        throw .indexContent(
          path: path,
          problem: "weight_map: \(key.debugDescription): expected a file name, "
            + "found \(value.kindDescription)")
      }
      let isPlain = !name.utf8.contains { $0 == 0x2F || $0 == 0x5C || $0 < 0x20 }
      guard isPlain, name.utf8.first != 0x2E, name.utf8.count > ".safetensors".utf8.count,
        name.utf8.suffix(12).elementsEqual(".safetensors".utf8)
      else {
        throw .indexContent(
          path: path,
          problem: "weight_map: \(key.debugDescription): expected a name such as "
            + "model-00001-of-00002.safetensors, found \(name.debugDescription)")
      }
      let number = numbers[UTF8Key(name)] ?? names.count
      if number == names.count {
        numbers[UTF8Key(name)] = number
        names.append(name)
      }
      map[UTF8Key(key)] = number
    }
    guard !names.isEmpty else {
      throw .indexContent(path: path, problem: "weight_map: expected tensors, found none")
    }
    return (names, map)
  }

  private static func hint(_ folder: String) -> String {
    guard FileSystem.kind(of: folder) == .folder else { return " (there is no such folder)" }
    let entries = (try? FileSystem.list(folder)) ?? []
    if entries.contains(where: { $0.name.utf8.elementsEqual("adapter_model.safetensors".utf8) }) {
      return " (it is an adapter: give it with --adapter)"
    }
    let others = [".bin", ".gguf", ".pth", ".pt"]
    if let other = entries.first(where: { entry in
      others.contains { entry.name.utf8.suffix($0.utf8.count).elementsEqual($0.utf8) }
    }) {
      return " (\(other.name) is in a format that is not read: convert it to safetensors)"
    }
    return ""
  }

  // MARK: Tensors

  /// Whether there is a tensor named `key`.
  public func contains(_ key: String) -> Bool { fileOfKey[UTF8Key(key)] != nil }

  /// The file that holds `key`.
  public func file(of key: String) throws(SafetensorsError) -> SafetensorsFile {
    guard let number = fileOfKey[UTF8Key(key)] else {
      throw .missingTensor(path: path, key: key)
    }
    return files[number]
  }

  /// Type, shape and place of `key`, whatever its type.
  public func info(of key: String) throws(SafetensorsError) -> TensorInfo {
    try file(of: key).info(of: key)
  }

  /// The shape of `key`.
  public func shape(of key: String) throws(SafetensorsError) -> [Int] { try info(of: key).shape }

  /// The element type of `key`.
  public func dtype(of key: String) throws(SafetensorsError) -> SafetensorsDType {
    try info(of: key).dtype
  }

  /// A copy of the bytes of `key`, little-endian and row-major.
  public func bytes(of key: String) throws(SafetensorsError) -> [UInt8] {
    try file(of: key).bytes(of: key)
  }

  /// The elements of `key`, which is F64, F32, F16 or BF16, as float32.
  public func floats(of key: String) throws(SafetensorsError) -> [Float] {
    try file(of: key).floats(of: key)
  }

  /// Calls `body` with the bytes of `key`, little-endian and row-major.
  package func withUnsafeBytes<Result>(
    of key: String, _ body: (UnsafeRawBufferPointer) -> Result
  ) throws(SafetensorsError) -> Result {
    try file(of: key).withUnsafeBytes(of: key, body)
  }

  /// Whether two tensors have the same shape and the same bytes, or, where their types differ, the same numbers as float32.
  package func hasEqualTensors(_ a: String, _ b: String) throws(SafetensorsError) -> Bool {
    let (first, second) = (try info(of: a), try info(of: b))
    guard first.shape == second.shape else { return false }
    guard
      first.dtype == second.dtype
        || first.dtype.isFloatingPoint && second.dtype.isFloatingPoint
    else { return false }
    let count = first.shape.reduce(1, *)
    let comparison = try withUnsafeBytes(of: a) { x in
      Result<Bool, SafetensorsError> { () throws(SafetensorsError) in
        try withUnsafeBytes(of: b) { y in
          stride(from: 0, to: count, by: Self.comparedCount).allSatisfy { start in
            // Many files have both matrices of a tied model: what has been compared need not stay in memory.
            defer { for key in [a, b] { advise(.dontNeed, for: key) } }
            let range = start..<min(start + Self.comparedCount, count)
            return Self.areEqual(x, first.dtype, y, second.dtype, range)
          }
        }
      }
    }
    return try comparison.get()
  }

  /// Elements of a tensor that are compared at a time.
  private static let comparedCount = 1 << 22

  private static func areEqual(
    _ x: UnsafeRawBufferPointer, _ xType: SafetensorsDType, _ y: UnsafeRawBufferPointer,
    _ yType: SafetensorsDType, _ range: Range<Int>
  ) -> Bool {
    func piece(_ bytes: UnsafeRawBufferPointer, _ dtype: SafetensorsDType) -> UnsafeRawBufferPointer
    {
      let (lower, upper) = (range.lowerBound * dtype.bitCount, range.upperBound * dtype.bitCount)
      return UnsafeRawBufferPointer(rebasing: bytes[lower / 8..<(upper + 7) / 8])
    }
    let (first, second) = (piece(x, xType), piece(y, yType))
    if xType == yType {
      guard let start = first.baseAddress, let other = second.baseAddress else { return true }
      return memcmp(start, other, first.count) == 0
    }
    func numbers(_ bytes: UnsafeRawBufferPointer, _ dtype: SafetensorsDType) -> [Float] {
      [Float](unsafeUninitializedCapacity: range.count) { buffer, count in
        FloatConversion.convert(
          bytes, dtype, into: UnsafeMutableBufferPointer(rebasing: buffer[..<range.count]))
        count = range.count
      }
    }
    return numbers(first, xType) == numbers(second, yType)
  }

  /// Tells the system how the bytes of `key` will be used; an unknown key changes nothing.
  public func advise(_ advice: MappedFile.Advice, for key: String) {
    if let number = fileOfKey[UTF8Key(key)] { files[number].advise(advice, for: key) }
  }

  /// The bytes of all tensors.
  public var byteCount: Int {
    keys.reduce(0) { sum, key in sum + ((try? info(of: key).byteCount) ?? 0) }
  }
}
