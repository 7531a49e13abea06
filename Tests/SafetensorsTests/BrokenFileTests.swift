// Broken and hostile files: each is one clear error.

import Files
import Safetensors
import Testing

@Suite("Broken safetensors files")
struct BrokenFileTests {
  struct Case: Sendable, CustomTestStringConvertible {
    let name: String
    let bytes: [UInt8]
    let message: String
    var testDescription: String { name }

    init(_ name: String, _ bytes: [UInt8], _ message: String) {
      (self.name, self.bytes, self.message) = (name, bytes, message)
    }

    init(_ name: String, _ header: String, _ dataByteCount: Int = 0, _ message: String) {
      self.init(
        name,
        PeerFile.file(header, data: [UInt8](repeating: 0, count: dataByteCount)), message)
    }
  }

  private static let huge = "4611686018427387904"  // 2⁶²

  static let cases: [Case] = [
    Case("empty", [UInt8](), "expected at least 8 bytes, found 0"),
    Case("seven bytes", [1, 0, 0, 0, 0, 0, 0], "expected at least 8 bytes, found 7"),
    Case("length of 2⁶⁴ − 1", [UInt8](repeating: 255, count: 8), "at most 100000000 bytes"),
    Case("length of 2⁶³", [0, 0, 0, 0, 0, 0, 0, 0x80], "at most 100000000 bytes"),
    Case("length above the cap", [1, 0xE1, 0xF5, 5, 0, 0, 0, 0], "at most 100000000 bytes"),
    Case(
      "length above the file", [3, 0, 0, 0, 0, 0, 0, 0, 0x7B, 0x7D], "header of 3 bytes, found 2"),
    Case("header of nothing", [0, 0, 0, 0, 0, 0, 0, 0], "found the end"),
    Case("not JSON", "{'a': 1}", 0, "expected a key in double quotes, found ''', byte 9"),
    Case(
      "not UTF-8",
      PeerFile.file("").dropLast(8) + [4, 0, 0, 0, 0, 0, 0, 0, 0x22, 0xFF, 0xFF, 0x22],
      "expected UTF-8"),
    Case("an array", "[]", 0, "expected an object, found an array"),
    Case("deep nesting", String(repeating: "[", count: 100_000), 0, "nested"),
    Case("entry of null", #"{"a":null}"#, 0, "expected an object, found null"),
    Case(
      "no dtype", #"{"a":{"shape":[1],"data_offsets":[0,4]}}"#, 4,
      "dtype: expected a string, found nothing"),
    Case(
      "unknown dtype", #"{"a":{"dtype":"F31","shape":[1],"data_offsets":[0,4]}}"#, 4,
      "found \"F31\""),
    Case(
      "lower-case dtype", #"{"a":{"dtype":"f32","shape":[1],"data_offsets":[0,4]}}"#, 4,
      "found \"f32\""),
    Case(
      "no shape", #"{"a":{"dtype":"F32","data_offsets":[0,4]}}"#, 4,
      "shape: expected an array, found nothing"),
    Case(
      "negative extent", #"{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}"#, 4,
      "0 or more, found -1"),
    Case(
      "fractional extent", #"{"a":{"dtype":"F32","shape":[1.0],"data_offsets":[0,4]}}"#, 4,
      "0 or more, found 1.0"),
    Case(
      "extent beyond 64 bits",
      #"{"a":{"dtype":"F32","shape":[99999999999999999999],"data_offsets":[0,4]}}"#, 4, "0 or more"),
    Case(
      "overflowing shape",
      #"{"a":{"dtype":"F32","shape":[\#(huge),\#(huge)],"data_offsets":[0,4]}}"#, 4,
      "no whole number of bytes"),
    Case(
      "overflow to zero", #"{"a":{"dtype":"U8","shape":[\#(huge),4],"data_offsets":[0,0]}}"#, 0,
      "no whole number of bytes"),
    Case(
      "overflow hidden by a zero",
      #"{"a":{"dtype":"U8","shape":[\#(huge),\#(huge),0],"data_offsets":[0,0]}}"#, 0,
      "no whole number of bytes"),
    Case(
      "half a byte", #"{"a":{"dtype":"F4","shape":[3],"data_offsets":[0,2]}}"#, 2,
      "no whole number of bytes"),
    Case(
      "no offsets", #"{"a":{"dtype":"F32","shape":[1]}}"#, 4, "data_offsets: expected two integers"),
    Case(
      "one offset", #"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0]}}"#, 4,
      "expected two integers"),
    Case(
      "offsets as strings", #"{"a":{"dtype":"F32","shape":[1],"data_offsets":["0","4"]}}"#, 4,
      "expected two integers"),
    Case(
      "begin after end", #"{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}}"#, 4,
      "0 ≤ begin ≤ end, found [4, 0]"),
    Case(
      "negative begin", #"{"a":{"dtype":"F32","shape":[1],"data_offsets":[-4,0]}}"#, 4,
      "0 ≤ begin ≤ end"),
    Case(
      "end beyond the file", #"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#, 4,
      "end of at most 4, found 8"),
    Case(
      "end at 2⁶³ − 1",
      #"{"a":{"dtype":"F32","shape":[1],"data_offsets":[9223372036854775803,9223372036854775807]}}"#,
      4, "end of at most 4"),
    Case(
      "too few bytes for the shape", #"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}"#, 4,
      "expected 8 bytes for F32 [2], found 4"),
    Case(
      "overlap",
      #"{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"b":{"dtype":"U8","shape":[4],"data_offsets":[2,6]}}"#,
      6, "tensor \"b\": expected its data to begin at 4"),
    Case(
      "the same data twice",
      #"{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"b":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}}"#,
      4, "expected its data to begin at 4"),
    Case(
      "hole",
      #"{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[2],"data_offsets":[4,6]}}"#,
      6, "expected its data to begin at 2"),
    Case(
      "hole at the start", #"{"a":{"dtype":"U8","shape":[2],"data_offsets":[2,4]}}"#, 4,
      "expected its data to begin at 0"),
    Case(
      "more after the data", #"{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}}"#, 5,
      "found 66 (something follows the data)"),
    Case(
      "duplicate tensor",
      #"{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}"#,
      1, "the key \"a\" is there twice"),
    Case(
      "duplicate field", #"{"a":{"dtype":"U8","dtype":"I8","shape":[1],"data_offsets":[0,1]}}"#, 1,
      "the key \"dtype\" is there twice"),
    Case(
      "metadata that is no object", #"{"__metadata__":"pt"}"#, 0, "__metadata__: expected an object"
    ),
    Case(
      "metadata of numbers", #"{"__metadata__":{"step":3}}"#, 0,
      "\"step\": expected a string, found an integer"),
  ]

  @Test("each broken file is one clear error", arguments: cases)
  func broken(_ item: Case) throws {
    let folder = try TestFolder()
    let path = folder("model.safetensors")
    try AtomicFile.write(item.bytes, to: path)
    let error = #expect(throws: SafetensorsError.self) { try SafetensorsFile(path: path) }
    let text = error?.description ?? ""
    #expect(text.contains(item.message), "\(text)")
    #expect(text.utf8.starts(with: path.utf8))
    #expect(!text.utf8.contains(0x0A))
  }

  @Test("every prefix of a file is an error")
  func prefixes() throws {
    let folder = try TestFolder()
    let bytes = PeerFile.bytes
    for length in 0..<bytes.count {
      try AtomicFile.write(Array(bytes[..<length]), to: folder("f"))
      #expect(throws: SafetensorsError.self) { try SafetensorsFile(path: folder("f")) }
    }
  }

  @Test("a header with any byte changed is a file or an error, and what it holds can be read")
  func mutations() throws {
    let folder = try TestFolder()
    let bytes = PeerFile.file(
      #"{"a":{"dtype":"F16","shape":[2,1],"data_offsets":[0,4]}}"#, data: [1, 2, 3, 4])
    var readable = 0
    for index in 0..<bytes.count - 4 {
      for byte in [0, 0x22, 0x2C, 0x30, 0x31, 0x39, 0x5B, 0x7D, 0x7F, 0xFF] as [UInt8] {
        var changed = bytes
        changed[index] = byte
        try AtomicFile.write(changed, to: folder("f"))
        guard let file = try? SafetensorsFile(path: folder("f")) else { continue }
        readable += 1
        for key in file.keys { _ = try? file.floats(of: key) }
      }
    }
    #expect(readable > 0)
  }

  @Test("a type that is not computed with is an error when asked for, not before")
  func unsupported() throws {
    let folder = try TestFolder()
    try AtomicFile.write(
      PeerFile.file(#"{"a":{"dtype":"F8_E4M3","shape":[2],"data_offsets":[0,2]}}"#, data: [0, 0]),
      to: folder("f"))
    let file = try SafetensorsFile(path: folder("f"))
    #expect(try file.info(of: "a").byteCount == 2)
    let error = #expect(throws: SafetensorsError.self) { try file.bytes(of: "a") }
    #expect(error?.description.contains("found F8_E4M3") == true)
  }
}
