// Checkpoint folders: single files, shards, and broken indexes.

import Files
import Safetensors
import Testing

@Suite("Checkpoints")
struct CheckpointTests {
  /// Writes F32 tensors of one element each.
  private func write(_ values: [(String, Float)], to path: String) throws {
    let writer = try SafetensorsWriter(
      path: path,
      entries: values.map { .init(key: $0.0, dtype: .f32, shape: [1]) })
    for (key, value) in values { try writer.write([value], of: key) }
    try writer.commit()
  }

  private let first = "model-00001-of-00002.safetensors"
  private let second = "model-00002-of-00002.safetensors"

  @Test("tensors are equal by shape and numbers, whatever their types")
  func equality() throws {
    let folder = try TestFolder()
    let tensors: [(key: String, dtype: SafetensorsDType, shape: [Int], values: [Float])] = [
      ("a", .f32, [2, 2], [1, 2, 3, 4]), ("same", .f32, [2, 2], [1, 2, 3, 4]),
      ("other", .f32, [2, 2], [1, 2, 3, 5]), ("long", .f32, [4], [1, 2, 3, 4]),
      ("half", .bf16, [2, 2], [1, 2, 3, 4]), ("third", .bf16, [2, 2], [1, 2, 3, 5]),
      ("whole", .i32, [2, 2], [1, 2, 3, 4]),
    ]
    let writer = try SafetensorsWriter(
      path: folder("t"),
      entries: tensors.map { .init(key: $0.key, dtype: $0.dtype, shape: $0.shape) })
    for tensor in tensors {
      // Small whole numbers have nothing in the lower half.
      let bytes = tensor.values.flatMap { value in
        let bits = value.bitPattern
        return (tensor.dtype == .bf16 ? 2..<4 : 0..<4).map { UInt8(bits >> ($0 * 8) & 255) }
      }
      try writer.write(bytes, of: tensor.key)
    }
    try writer.commit()
    let checkpoint = try Checkpoint(file: folder("t"))
    let equal = try tensors.map(\.key).filter { try checkpoint.hasEqualTensors("a", $0) }
    #expect(equal == ["a", "same", "half"])
    #expect(throws: SafetensorsError.self) { try checkpoint.hasEqualTensors("a", "missing") }
  }

  @Test("shards are one set of tensors")
  func shards() throws {
    let folder = try TestFolder()
    try write([("a", 1), ("b", 2), ("extra", 9)], to: folder(first))
    try write([("c", 3), ("a", 8)], to: folder(second))
    try AtomicFile.write(
      #"{"metadata": {"total_size": 12}, "weight_map": {"c": "\#(second)", "a": "\#(first)", "b": "\#(first)"}}"#,
      to: folder(Checkpoint.indexName))
    let checkpoint = try Checkpoint(folder: folder.path)
    #expect(Set(checkpoint.keys) == ["a", "b", "c"])
    #expect(checkpoint.files.count == 2)
    #expect(try checkpoint.floats(of: "a") == [1])
    #expect(try checkpoint.floats(of: "c") == [3])
    #expect(try checkpoint.shape(of: "b") == [1])
    #expect(checkpoint.byteCount == 12)
    #expect(!checkpoint.contains("extra"))
    #expect(throws: SafetensorsError.self) { try checkpoint.bytes(of: "extra") }

    // A single file wins over an index, as in transformers.
    try write([("only", 5)], to: folder(Checkpoint.fileName))
    #expect(try Checkpoint(folder: folder.path).keys == ["only"])
    #expect(try Checkpoint(file: folder(first)).keys == ["a", "b", "extra"])
  }

  @Test(
    "a broken index is one clear error",
    arguments: [
      ("", "found the end"), ("[]", "weight_map: expected an object, found nothing"),
      (#"{"weight_map": []}"#, "expected an object, found an array"),
      (#"{"weight_map": {}}"#, "expected tensors, found none"),
      (#"{"weight_map": {"a": 1}}"#, "expected a file name, found an integer"),
      (#"{"weight_map": {"a": "../model.safetensors"}}"#, "found \"../model.safetensors\""),
      (#"{"weight_map": {"a": "/etc/x.safetensors"}}"#, "found \"/etc/x.safetensors\""),
      (#"{"weight_map": {"a": "sub/x.safetensors"}}"#, "found \"sub/x.safetensors\""),
      (#"{"weight_map": {"a": ".."}}"#, "found \"..\""),
      (#"{"weight_map": {"a": ""}}"#, "found \"\""),
      (#"{"weight_map": {"a": "x\u0000.safetensors"}}"#, "expected a name such as"),
      (
        #"{"weight_map": {"a": "none.safetensors"}}"#, "none.safetensors: cannot open: No such file"
      ),
      (
        #"{"weight_map": {"c": "s1.safetensors", "a": "s1.safetensors"}}"#,
        "expected \"c\" in s1.safetensors, which has no such tensor"
      ),
      (
        #"{"weight_map": {"b": "s1.safetensors", "a": "s1.safetensors", "x": "s2.safetensors"}}"#,
        "expected \"b\" in s1.safetensors, found in s2.safetensors"
      ),
      (#"{"weight_map": {"a": "s1.safetensors", "a": "s2.safetensors"}}"#, "\"a\" is there twice"),
      (#"{"weight_map": {"a": "bad.safetensors"}}"#, "bad.safetensors: expected at least 8 bytes"),
    ])
  func brokenIndex(_ index: String, _ message: String) throws {
    let folder = try TestFolder()
    try write([("a", 1)], to: folder("s1.safetensors"))
    try write([("b", 2), ("x", 3)], to: folder("s2.safetensors"))
    try AtomicFile.write([], to: folder("bad.safetensors"))
    try AtomicFile.write(index, to: folder(Checkpoint.indexName))
    let error = #expect(throws: SafetensorsError.self) { try Checkpoint(folder: folder.path) }
    #expect(error?.description.contains(message) == true, "\(String(describing: error))")
  }

  @Test("a folder without a checkpoint says what is missing and what is there instead")
  func nothing() throws {
    let folder = try TestFolder()
    func message() -> String {
      do throws(SafetensorsError) {
        _ = try Checkpoint(folder: folder.path)
        return ""
      } catch { return error.description }
    }
    let expected =
      "\(folder.path): expected model.safetensors or model.safetensors.index.json, found neither"
    #expect(message() == expected)
    try AtomicFile.write("", to: folder("pytorch_model.bin"))
    #expect(
      message() == expected
        + " (pytorch_model.bin is in a format that is not read: convert it to safetensors)")
    #expect(throws: SafetensorsError.self) { try Checkpoint(folder: folder("none")) }
  }
}
