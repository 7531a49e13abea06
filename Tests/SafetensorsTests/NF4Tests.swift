// NF4 against bitsandbytes, to the bit: the cases of Fixtures/nf4, and those of the shared test data where they are.

import Files
import OrderedJSON
import Safetensors
import Tensor
import Testing

@Suite("NF4 as bitsandbytes computes it")
struct NF4Tests {
  static let fixture: String = {
    var root = #filePath
    for _ in 0..<3 { root = FileSystem.parent(of: root) }
    return FileSystem.join(root, "Fixtures/nf4/cases.safetensors")
  }()

  /// A case of the fixture: "gauss/64/nested".
  struct Case: Sendable, CustomTestStringConvertible {
    let name: String
    var testDescription: String { name }
    var parts: [Substring] { name.split(separator: "/") }
    var input: String { parts[0] + "/x" }
    var format: QuantizedTensor.Format {
      .init(blockSize: Int(parts[1]) ?? 0, isDoubleQuantized: parts[2] == "nested")
    }

    static let all: [Case] = {
      let keys = (try? Checkpoint(file: fixture).keys) ?? []
      return keys.filter { $0.hasSuffix(".codes") }.map { Case(name: String($0.dropLast(6))) }
    }()
  }

  /// The bits of floats: a comparison that tells zeros and NaN apart.
  func bits(_ tensor: Tensor) throws -> [UInt32] {
    try tensor.array(of: Float.self).map(\.bitPattern)
  }

  @Test("the fixture has its cases") func fixtureIsThere() { #expect(Case.all.count == 34) }

  @Test("codes, scales, offset and what they stand for", arguments: Case.all)
  func quantization(_ item: Case) throws {
    let cases = try Checkpoint(file: Self.fixture)
    let ours = try cases.quantized(item.input, as: item.format)
    #expect(try ours.codes.array(of: UInt8.self) == cases.bytes(of: item.name + ".codes"))
    switch ours.scales {
    case .plain(let absmax):
      #expect(
        try bits(absmax) == cases.floats(of: item.name + ".absmax").map(\.bitPattern))
    case .nested(let codes, let codeBook, let scales, let offset):
      #expect(try codes.array(of: UInt8.self) == cases.bytes(of: item.name + ".absmax"))
      #expect(try bits(codeBook) == cases.floats(of: "nested_quant_map").map(\.bitPattern))
      #expect(try bits(scales) == cases.floats(of: item.name + ".scales").map(\.bitPattern))
      #expect(
        [offset.bitPattern] == (try cases.floats(of: item.name + ".offset").map(\.bitPattern)))
    }
    #expect(
      try bits(ours.dequantized()) == cases.floats(of: item.name + ".dequantized").map(\.bitPattern)
    )
    if cases.contains(item.name + ".rounded") {
      let rounded = ours.dequantized(dtype: .bfloat16)
      #expect(try rounded.bytes() == cases.bytes(of: item.name + ".rounded"))
    }
  }

  @Test(
    "the mean of many scales is summed in torch's order", arguments: ["mean_small", "mean_cascade"])
  func mean(_ name: String) throws {
    let cases = try Checkpoint(file: Self.fixture)
    let absmax = try cases.tensor(name + "/absmax", dtype: .float32)
    let codes = Tensor(uninitialized: absmax.shape, .uint8, backend: absmax.backend)
    let scales = Tensor(
      uninitialized: [QuantizedTensor.nestedBlockCount(absmax.count)], .float32,
      backend: absmax.backend)
    let offset = launch(absmax, codes, scales) {
      absmax.backend.quantizeScales(
        absmax.operand, into: codes.destination, scales: scales.destination)
    }
    #expect([offset.bitPattern] == (try cases.floats(of: name + "/offset").map(\.bitPattern)))
    #expect(try codes.array(of: UInt8.self) == cases.bytes(of: name + "/codes"))
    #expect(try bits(scales) == cases.floats(of: name + "/scales").map(\.bitPattern))
  }

  @Test("the shared cases", .enabled(if: SharedData.isThere, SharedData.hint))
  func sharedCases() throws {
    let folder = FileSystem.join(SharedData.folder, "data/nf4")
    let golden = try JSON.parse(
      FileSystem.readFile(FileSystem.join(folder, "nf4_golden.json")))
    let cases = try #require(golden["cases"]?.arrayValue)
    #expect(cases.count == 28)
    func bytes(_ part: JSON?) throws -> [UInt8] {
      try FileSystem.readFile(FileSystem.join(folder, #require(part?["file"]?.stringValue)))
    }
    for item in cases {
      let name = try #require(item["name"]?.stringValue)
      let isNested = item["double_quant"]?.boolValue == true
      let shape = try #require(item["input"]?["shape"]?.arrayValue).compactMap(\.integerValue)
      let input = try bytes(item["input"])
      let isNarrow = item["input"]?["dtype"]?.stringValue == "bfloat16"
      let x = input.withUnsafeBytes { bytes in
        isNarrow
          ? Tensor(Array(bytes.bindMemory(to: BFloat16.self)), shape: Shape(shape))
          : Tensor(Array(bytes.bindMemory(to: Float.self)), shape: Shape(shape))
      }
      let ours = QuantizedTensor(
        quantizing: x,
        as: .init(
          blockSize: try #require(item["blocksize"]?.integerValue), isDoubleQuantized: isNested))
      #expect(try ours.codes.bytes() == bytes(item["packed"]), "\(name): codes")
      switch ours.scales {
      case .plain(let absmax): #expect(try absmax.bytes() == bytes(item["absmax"]), "\(name)")
      case .nested(let codes, _, let scales, let offset):
        #expect(try codes.bytes() == bytes(item["absmax_u8"]), "\(name): absmax")
        #expect(try scales.bytes() == bytes(item["absmax2"]), "\(name): nested absmax")
        #expect(Double(offset) == item["offset"]?.doubleValue, "\(name): offset")
      }
      let dequantized = ours.dequantized(dtype: isNarrow ? .bfloat16 : .float32)
      #expect(try dequantized.bytes() == bytes(item["dequant"]), "\(name): dequantized")
    }
  }

  @Test("what is written is read back, and is the same", arguments: [false, true], [32, 64, 4096])
  func roundTrip(isDoubleQuantized: Bool, blockSize: Int) throws {
    let folder = try TestFolder()
    let format = QuantizedTensor.Format(
      blockSize: blockSize, isDoubleQuantized: isDoubleQuantized)
    let cases = try Checkpoint(file: Self.fixture)
    let tensor = try cases.quantized("gauss/x", as: format)
    let shape = tensor.shape.dimensions
    let writer = try SafetensorsWriter(
      path: folder("w.safetensors"),
      entries: SafetensorsWriter.Entry.quantized("w", shape: shape, format: format)
        + [.init(key: "digest", dtype: .u8, shape: [8])],
      digestsContent: true)
    try writer.write(tensor, as: "w")
    try writer.write(writer.contentDigest, of: "digest")
    try writer.commit()
    let file = try Checkpoint(file: folder("w.safetensors"))
    #expect(file.isNF4("w"))
    let read = try file.nf4Tensor("w", shape: shape)
    #expect(read.format == format)
    #expect(read.source == tensor.source)
    #expect(try bits(read.dequantized()) == bits(tensor.dequantized()))
    #expect(try file.files[0].contentDigest(without: "digest") == file.bytes(of: "digest"))
    #expect(throws: SafetensorsError.self) { try file.nf4Tensor("w", shape: [shape[1], shape[0]]) }
  }

  @Test(
    "parts that do not fit are one clear error",
    arguments: [
      (#"{"quant_type":"fp4"}"#, "quant_type nf4"),
      (#"{"quant_type":"nf4","blocksize":63}"#, "blocksize"),
      (#"{"quant_type":"nf4","blocksize":64,"dtype":"int8"}"#, "dtype"),
      (#"{"quant_type":"nf4","blocksize":64,"dtype":"float32","shape":[1e9,2]}"#, "shape"),
      (#"{"quant_type":"nf4","blocksize":64,"dtype":"float32","shape":[9,9]}"#, "expected [2, 64]"),
      (
        #"{"quant_type":"nf4","blocksize":32,"dtype":"float32","shape":[2,64]}"#,
        "expected 16 bytes, found 8"
      ),
      (
        #"{"quant_type":"nf4","blocksize":64,"dtype":"float32","shape":[2,64],"nested_blocksize":128,"nested_offset":0}"#,
        "nested_blocksize 256"
      ),
      (
        #"{"quant_type":"nf4","blocksize":64,"dtype":"float32","shape":[2,64],"nested_blocksize":256,"nested_offset":1e300}"#,
        "nested_offset"
      ),
      (
        #"{"quant_type":"nf4","blocksize":64,"dtype":"float32","shape":[2,64],"nested_blocksize":256,"nested_offset":0}"#,
        "expected 2 bytes, found 8"
      ),
      ("", "expected JSON"), ("[]", "quant_type nf4"),
    ])
  func hostileState(_ state: String, _ expected: String) throws {
    let folder = try TestFolder()
    let bytes = Array(state.utf8)
    let writer = try SafetensorsWriter(
      path: folder("w.safetensors"),
      entries: [
        .init(key: "w", dtype: .u8, shape: [64, 1]),
        .init(key: "w.absmax", dtype: .f32, shape: [2]),
        .init(key: "w.quant_map", dtype: .f32, shape: [16]),
        .init(
          key: "w.quant_state.bitsandbytes__nf4", dtype: .u8, shape: [bytes.count]),
      ])
    try writer.write([UInt8](repeating: 0x77, count: 64), of: "w")
    try writer.write([Float](repeating: 1, count: 2), of: "w.absmax")
    try writer.write([Float](repeating: 1, count: 16), of: "w.quant_map")
    try writer.write(bytes, of: "w.quant_state.bitsandbytes__nf4")
    try writer.commit()
    let file = try Checkpoint(file: folder("w.safetensors"))
    do {
      _ = try file.nf4Tensor("w", shape: [2, 64])
      Issue.record("\(state) was accepted")
    } catch {
      #expect("\(error)".contains(expected), "\(error)")
    }
  }

  @Test(
    "weights that are not numbers are refused", arguments: [Float.nan, .infinity], [false, true])
  func notANumber(_ value: Float, isDoubleQuantized: Bool) throws {
    let folder = try TestFolder()
    let writer = try SafetensorsWriter(
      path: folder("w.safetensors"), entries: [.init(key: "w", dtype: .f32, shape: [3, 50])])
    try writer.write((0..<150).map { $0 == 77 ? value : 1 }, of: "w")
    try writer.commit()
    let file = try Checkpoint(file: folder("w.safetensors"))
    #expect(throws: SafetensorsError.self) {
      try file.quantized("w", as: .init(isDoubleQuantized: isDoubleQuantized))
    }
  }
}
