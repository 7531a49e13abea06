// The types of ggml against ggml: what is encoded is equal to the bit, what is decoded to the number.

import Files
import GGUF
import OrderedJSON
import Testing
import Tensor

/// The tensors of Fixtures/gguf/blocks.safetensors, read with what is here.
struct BlockFixture {
  private let bytes: [UInt8]
  private let header: JSON
  private let start: Int

  static let folder: String = {
    let parts = #filePath.split(separator: "/", omittingEmptySubsequences: false)
    return parts.dropLast(3).joined(separator: "/") + "/Fixtures/gguf"
  }()

  init() throws {
    bytes = try FileSystem.readFile(Self.folder + "/blocks.safetensors")
    let length = bytes[..<8].reversed().reduce(0) { $0 << 8 | Int($1) }
    header = try JSON.parse(bytes[8..<8 + length])
    start = 8 + length
  }

  func bytes(_ key: String) throws -> [UInt8] {
    let offsets = try #require(header[key]?["data_offsets"]?.arrayValue).compactMap(\.integerValue)
    return Array(bytes[start + offsets[0]..<start + offsets[1]])
  }

  func floats(_ key: String) throws -> [Float] {
    let bytes = try bytes(key)
    return bytes.withUnsafeBytes { raw in
      (0..<bytes.count / 4).map {
        Float(bitPattern: raw.loadUnaligned(fromByteOffset: 4 * $0, as: UInt32.self))
      }
    }
  }
}

@Suite("Block types")
struct QuantizationTests {
  static let names = ["gauss", "scaled", "heavy", "odd", "bfloat16"]
  static let types: [GGMLType] = [.q8_0, .q5_0, .q4_K, .q6_K]

  @Test("what is encoded equals ggml's bits", arguments: names, types)
  func encode(_ name: String, _ type: GGMLType) throws {
    let fixture = try BlockFixture()
    let x = try fixture.floats("\(name).x")
    let expected = try fixture.bytes("\(name).\(type.name)")
    let found = try BlockEncoding.encode(x, as: type)
    try #require(found.count == expected.count)
    let size = type.blockByteCount
    let wrong = (0..<found.count / size).filter {
      found[$0 * size..<($0 + 1) * size] != expected[$0 * size..<($0 + 1) * size]
    }
    #expect(wrong.isEmpty, "\(wrong.count) blocks differ, the first is \(wrong.first ?? -1)")
  }

  @Test("what is decoded equals gguf-py's numbers", arguments: ["gauss", "odd"], types)
  func decode(_ name: String, _ type: GGMLType) throws {
    let fixture = try BlockFixture()
    let found = BlockDecoding.decode(try fixture.bytes("\(name).\(type.name)"), as: type)
    #expect(found == (try fixture.floats("\(name).\(type.name).decoded")))
  }

  @Test("errors of rounding are as small as the bits allow")
  func errors() throws {
    let x = try BlockFixture().floats("gauss.x")
    for (type, bound) in [(GGMLType.q8_0, 0.006), (.q6_K, 0.02), (.q5_0, 0.05), (.q4_K, 0.08)] {
      let y = BlockDecoding.decode(try BlockEncoding.encode(x, as: type), as: type)
      let (error, norm) = zip(x, y).reduce((0.0, 0.0)) {
        ($0.0 + Double(($1.0 - $1.1) * ($1.0 - $1.1)), $0.1 + Double($1.0 * $1.0))
      }
      #expect((error / norm).squareRoot() < bound, "\(type.name)")
    }
  }

  @Test("halves round to nearest, ties to even, and come back")
  func halves() {
    for bits in UInt16.min...UInt16.max where bits & 0x7FFF <= 0x7C00 {
      #expect(Half(Half(bitPattern: bits).float).bitPattern == bits)
    }
    #expect(Half(bitPattern: 0x0001).float == 0x1p-24 && Half(bitPattern: 0x7BFF).float == 65504)
    #expect(Half(65519.99).bitPattern == 0x7BFF && Half(65520).bitPattern == 0x7C00)
    #expect(Half(1 + 0x1p-11).bitPattern == 0x3C00 && Half(1 + 0x1.8p-10).bitPattern == 0x3C02)
    #expect(Half(0x1p-25).bitPattern == 0 && Half(0x1.8p-25).bitPattern == 1)
    #expect(Half(-0.0).bitPattern == 0x8000 && Half(.nan).bitPattern & 0x7C00 == 0x7C00)
  }

  @Test("numbers that a type cannot hold are refused", arguments: GGMLType.allCases)
  func refused(_ type: GGMLType) {
    for value in [Float.nan, .infinity, -.infinity] {
      var x = [Float](repeating: 1, count: 256)
      x[200] = value
      #expect(throws: BlockEncoding.Fault.notFinite) { try BlockEncoding.encode(x, as: type) }
    }
    var x = [Float](repeating: 1, count: 256)
    x[3] = -70_000
    if type == .f32 || type == .bf16 {
      #expect(throws: Never.self) { try BlockEncoding.encode(x, as: type) }
    } else {
      #expect(throws: BlockEncoding.Fault.tooLarge(70_000)) {
        try BlockEncoding.encode(x, as: type)
      }
    }
  }

  @Test("results do not depend on how work is split")
  func split() throws {
    let x = try BlockFixture().floats("heavy.x")
    let many = (0..<20).flatMap { _ in x }
    for type in Self.types {
      let one = try BlockEncoding.encode(x, as: type)
      #expect(try BlockEncoding.encode(many, as: type) == (0..<20).flatMap { _ in one })
    }
  }
}
