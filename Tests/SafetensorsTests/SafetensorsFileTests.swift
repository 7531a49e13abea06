// Reading and writing single files, against bytes of the reference implementation and hostile ones.

import Files
import Safetensors
import Testing

@Suite("Safetensors files")
struct SafetensorsFileTests {
  @Test("a file of the reference implementation reads back")
  func peerFile() throws {
    let folder = try TestFolder()
    #expect(PeerFile.bytes.count == 820)
    try AtomicFile.write(PeerFile.bytes, to: folder("f"))
    let file = try SafetensorsFile(path: folder("f"))
    #expect(
      file.keys == [
        "i64", "d", "empty", "scalar", "é", "i32", "a.bf16", "b.half", "i16", "i8", "u8", "bool",
      ])
    #expect(file.metadataValue(of: "format") == "pt")
    #expect(file.metadataValue(of: "other") == nil)
    #expect(try file.info(of: "d").shape == [2, 1])
    #expect(try file.info(of: "d").dtype == .f64)
    #expect(try file.info(of: "scalar").shape == [])
    #expect(try file.info(of: "scalar").elementCount == 1)
    #expect(try file.info(of: "empty").elementCount == 0)
    #expect(try file.floats(of: "empty") == [])
    #expect(try file.floats(of: "scalar") == [42])
    #expect(try file.floats(of: "é") == [1.5, -2.25])
    #expect(!file.contains("e\u{301}"))
    #expect(try file.floats(of: "d") == [0.1, .infinity])
    #expect(
      try file.floats(of: "a.bf16").map(\.bitPattern) == [
        0x3F80_0000, 0xC049_0000, 0x006D_0000, 0x7F62_0000,
      ])
    let half = try file.floats(of: "b.half")
    #expect(half.map(\.bitPattern)[1] == 0x8000_0000)
    #expect(
      half == [
        0, 0, 1, -2.5, 65504, 5.9604645e-08, 6.097555e-05, .infinity, -.infinity, 0.333251953125,
      ])
    #expect(
      try file.bytes(of: "i64") == [UInt8](repeating: 255, count: 8) + [0, 0, 0, 0, 0, 1, 0, 0])
    #expect(try file.bytes(of: "u8") == [200, 1, 2])
    #expect(try file.bytes(of: "bool") == [1, 0])
    #expect(try file.withUnsafeBytes(of: "i32") { $0.loadUnaligned(as: Int32.self) } == 7)
    file.advise(.willNeed, for: "d")
    file.advise(.dontNeed, for: "nothing")
    #expect(throws: SafetensorsError.missingTensor(path: folder("f"), key: "x")) {
      try file.floats(of: "x")
    }
    let error = #expect(throws: SafetensorsError.self) { try file.floats(of: "i8") }
    #expect(
      error?.description
        == "\(folder("f")): tensor \"i8\": expected F64, F32, F16 or BF16, found I8")
  }

  @Test("what is written is byte for byte what the reference implementation writes")
  func writer() throws {
    let folder = try TestFolder()
    try AtomicFile.write(PeerFile.bytes, to: folder("peer"))
    let peer = try SafetensorsFile(path: folder("peer"))
    let entries = try peer.keys.reversed().map { key in
      let info = try peer.info(of: key)
      return SafetensorsWriter.Entry(key: key, dtype: info.dtype, shape: info.shape)
    }
    let ordered = SafetensorsWriter.Entry.inReferenceOrder(entries)
    #expect(ordered.map(\.key) == peer.keys)
    let writer = try SafetensorsWriter(path: folder("own"), entries: ordered)
    for entry in ordered {
      let bytes = try peer.bytes(of: entry.key)
      // In two pieces.
      try writer.write(Array(bytes.prefix(3)), of: entry.key)
      try writer.write(Array(bytes.dropFirst(3)), of: entry.key)
    }
    #expect(FileSystem.kind(of: folder("own")) == nil)
    try writer.commit()
    #expect(try FileSystem.readFile(folder("own")) == PeerFile.bytes)
  }

  @Test("an unfinished file leaves nothing behind")
  func abandonedWriter() throws {
    let folder = try TestFolder()
    var writer: SafetensorsWriter? = try SafetensorsWriter(
      path: folder("f"), entries: [.init(key: "w", dtype: .f32, shape: [2])])
    try writer?.write([1] as [Float], of: "w")
    writer = nil
    #expect(try folder.names() == [])
  }

  @Test("a file without tensors, and one with only empty ones, can be written and read")
  func emptyFiles() throws {
    let folder = try TestFolder()
    try SafetensorsWriter(path: folder("none"), entries: [], metadata: []).commit()
    #expect(
      try FileSystem.readFile(folder("none")) == [8, 0, 0, 0, 0, 0, 0, 0] + Array("{}      ".utf8))
    #expect(try SafetensorsFile(path: folder("none")).keys == [])
    let entries: [SafetensorsWriter.Entry] = [
      .init(key: "b", dtype: .f32, shape: [0]), .init(key: "a", dtype: .u8, shape: [3, 0]),
    ]
    try SafetensorsWriter(path: folder("empty"), entries: entries).commit()
    #expect(Set(try SafetensorsFile(path: folder("empty")).keys) == ["a", "b"])
  }

  @Test("every half converts as the definition says")
  func halves() {
    for bits in UInt16.min...UInt16.max {
      let exponent = Int(bits >> 10 & 31)
      let fraction = Float(bits & 1023)
      let magnitude: Float
      switch exponent {
      case 0: magnitude = fraction * 0x1p-24
      case 31: magnitude = fraction == 0 ? .infinity : .nan
      default:
        magnitude =
          (1 + fraction / 1024) * Float(sign: .plus, exponent: exponent - 15, significand: 1)
      }
      let expected = bits >> 15 == 1 ? -magnitude : magnitude
      var output: Float = 7
      withUnsafeBytes(of: bits.littleEndian) { bytes in
        withUnsafeMutablePointer(to: &output) { pointer in
          FloatConversion.convert(
            bytes, .f16, into: UnsafeMutableBufferPointer(start: pointer, count: 1))
        }
      }
      #expect(expected.isNaN ? output.isNaN : output == expected)
      #expect(expected.isNaN || output.sign == expected.sign)
    }
  }

  @Test("an adapter that PEFT wrote reads back", .enabled(if: SharedData.isThere, SharedData.hint))
  func peftAdapter() throws {
    let path = FileSystem.join(SharedData.folder, "data/peft-adapter/adapter_model.safetensors")
    let checkpoint = try Checkpoint(file: path)
    #expect(checkpoint.keys.count > 0)
    for key in checkpoint.keys {
      #expect(try checkpoint.dtype(of: key) == .f32)
      #expect(try checkpoint.shape(of: key).count == 2)
      #expect(try checkpoint.floats(of: key).allSatisfy(\.isFinite))
      #expect(key.utf8.starts(with: "base_model.model.".utf8))
    }
  }
}
