// GGUF files: those of gguf-py, our own, and hostile ones.

import Files
import GGUF
import Testing
import Tensor

/// A fresh folder in /tmp, removed with all it holds when the object goes.
final class TestFolder {
  let path = FileSystem.join("/tmp", FileSystem.temporaryName(prefix: "qwen-sft-test-"))
  init() throws { try FileSystem.makeFolder(path) }
  deinit { try? FileSystem.remove(path) }
  func callAsFunction(_ name: String) -> String { FileSystem.join(path, name) }
}

@Suite("GGUF files")
struct FileTests {
  static let metadata: [(key: String, value: GGUFValue)] = [
    ("general.architecture", .string("qwen3")), ("a.uint8", .uint8(200)), ("a.int8", .int8(-100)),
    ("a.uint16", .uint16(60_000)), ("a.int16", .int16(-30_000)),
    ("a.uint32", .uint32(4_000_000_000)), ("a.int32", .int32(-2_000_000_000)),
    ("a.uint64", .uint64(1 << 63 + 1)), ("a.int64", .int64(-(1 << 62))),
    ("a.float32", .float32(0.1)), ("a.float64", .float64(0.1)), ("a.bool", .bool(true)),
    ("a.string", .string("Grüße, 世界")), ("a.strings", .strings(["a", "", "ß"])),
    ("a.int32s", .int32s([1, -2, 3])), ("a.floats", .array([.float32(0.5), .float32(1.5)])),
  ]

  static let entries = [
    GGUFWriter.Entry(name: "matrix", type: .f32, shape: [2, 3]),
    GGUFWriter.Entry(name: "half", type: .f16, shape: [4, 2]),
    GGUFWriter.Entry(name: "blocks", type: .q8_0, shape: [2, 256]),
  ]

  private func write(to path: String) throws {
    let writer = try GGUFWriter(path: path, metadata: Self.metadata, entries: Self.entries)
    let values: [[Float]] = [
      (0..<6).map { Float($0) },
      (0..<8).map {
        Half(Half(Float($0)).float / 3).float
      },
      Array(try BlockFixture().floats("gauss.x").prefix(512)),
    ]
    for (entry, values) in zip(Self.entries, values) {
      try writer.write(try BlockEncoding.encode(values, as: entry.type), of: entry.name)
    }
    try writer.commit()
  }

  @Test("a file is read as gguf-py wrote it")
  func peer() throws {
    let file = try GGUFFile(path: BlockFixture.folder + "/values.gguf")
    #expect(file.metadata.map(\.key) == Self.metadata.map(\.key))
    for (key, value) in Self.metadata { #expect(file.value(of: key) == value, "\(key)") }
    #expect(file.tensors.map(\.shape) == [[2, 3], [4, 2], [2, 256]])
    #expect(try file.floats(of: "matrix") == [0, 1, 2, 3, 4, 5])
    #expect(try file.floats(of: "half")[3] == 1)
    #expect(try file.bytes(of: "blocks") == Array(BlockFixture().bytes("gauss.Q8_0").prefix(544)))
  }

  @Test("the same content is written in the same bytes as by gguf-py")
  func bytes() throws {
    let folder = try TestFolder()
    try write(to: folder("a.gguf"))
    let own = try FileSystem.readFile(folder("a.gguf"))
    let peer = try FileSystem.readFile(BlockFixture.folder + "/values.gguf")
    #expect(own == peer)
  }

  @Test("a cut or changed file is one error or a sound file, never a trap")
  func damaged() throws {
    let folder = try TestFolder()
    try write(to: folder("whole.gguf"))
    let whole = try FileSystem.readFile(folder("whole.gguf"))
    for length in stride(from: 0, to: whole.count, by: 7) {
      try AtomicFile.write(Array(whole[..<length]), to: folder("cut.gguf"))
      #expect(throws: GGUFError.self) { try GGUFFile(path: folder("cut.gguf")) }
    }
    var generator = SystemRandomNumberGenerator()
    let head = whole.count - 544
    for _ in 0..<600 {
      var bytes = whole
      for _ in 0..<Int.random(in: 1...3, using: &generator) {
        bytes[Int.random(in: 4..<head, using: &generator)] =
          [0, 1, 0x7F, 0x80, 0xFF, 9]
          .randomElement(using: &generator) ?? 0
      }
      try AtomicFile.write(bytes, to: folder("changed.gguf"))
      guard let file = try? GGUFFile(path: folder("changed.gguf")) else { continue }
      for tensor in file.tensors { #expect(try file.floats(of: tensor.name).count == tensor.count) }
    }
  }

  @Test("lies about sizes are refused with a reason")
  func lies() throws {
    let folder = try TestFolder()
    func check(_ name: String, _ bytes: [UInt8], _ message: String) throws {
      try AtomicFile.write(bytes, to: folder(name))
      let error = #expect(throws: GGUFError.self) { try GGUFFile(path: folder(name)) }
      #expect(error?.description.contains(message) == true, "\(error?.description ?? "")")
      #expect(error?.description.contains("\n") == false)
    }
    func number(_ value: UInt64, _ width: Int = 8) -> [UInt8] {
      (0..<width).map { UInt8(truncatingIfNeeded: value >> (8 * UInt64($0))) }
    }
    let magic = Array("GGUF".utf8)
    func text(_ text: String) -> [UInt8] { number(UInt64(text.utf8.count)) + Array(text.utf8) }
    func head(_ tensors: UInt64, _ keys: UInt64) -> [UInt8] {
      magic + number(3, 4) + number(tensors) + number(keys)
    }
    let rest = [UInt8](repeating: 0, count: 256)
    try check("nothing", [], "expected GGUF")
    try check("magic", Array("GGML".utf8) + rest, "expected GGUF")
    try check("version", magic + number(9, 4) + rest, "version 2 or 3, found 9")
    try check("tensors", head(.max, 0) + rest, "tensors: 18446744073709551615")
    try check("keys", head(0, 1 << 40) + rest, "keys: 1099511627776")
    try check("key", head(0, 1) + number(1 << 50) + rest, "a key: ")
    try check(
      "array", head(0, 1) + text("k") + number(9, 4) + number(0, 4) + number(1 << 60) + rest, "k: ")
    try check(
      "nested", head(0, 1) + text("k") + number(9, 4) + number(9, 4) + number(1) + rest,
      "arrays of arrays")
    try check(
      "twice", head(0, 2) + text("k") + number(4, 4) + number(1, 4) + text("k") + rest, "twice")
    try check(
      "alignment", head(0, 1) + text("general.alignment") + number(4, 4) + number(3, 4) + rest,
      "power of two")
    func tensor(_ shape: [UInt64], _ type: UInt64, _ offset: UInt64) -> [UInt8] {
      head(1, 0) + text("t") + number(UInt64(shape.count), 4) + shape.flatMap { number($0) }
        + number(type, 4) + number(offset) + rest
    }
    try check("axes", tensor([1, 1, 1, 1, 1], 0, 0), "1 to 4 axes")
    try check("empty", tensor([0], 0, 0), "above 0")
    try check("overflow", tensor([1 << 62, 1 << 62], 0, 0), "overflows")
    try check("type", tensor([32], 77, 0), "type 77 is not read")
    try check("block", tensor([33], 8, 0), "no multiple of 32")
    try check("offset", tensor([1], 0, 5), "multiple of 32")
    try check("far", tensor([1], 0, 1 << 62), "beyond the file")
    try check("long", tensor([1 << 20], 0, 0), "beyond the file")
  }
}
