// The parser against the grammar, Python's dialect and hostile documents.

import OrderedJSON
import Testing

@Suite("Parsing JSON")
struct JSONParsingTests {
  @Test("scalars have their Python meaning")
  func scalars() throws {
    #expect(try JSON.parse(" null ") == .null)
    #expect(try JSON.parse("true") == .bool(true))
    #expect(try JSON.parse("\tfalse\r\n") == .bool(false))
    #expect(try JSON.parse("0") == .integer(0))
    #expect(try JSON.parse("-0") == .integer(0))
    #expect(try JSON.parse("-12") == .integer(-12))
    #expect(try JSON.parse("9223372036854775807") == .integer(.max))
    #expect(try JSON.parse("-9223372036854775808") == .integer(.min))
    #expect(try JSON.parse("9223372036854775808") == .bigInteger("9223372036854775808"))
    #expect(try JSON.parse("1.5") == .number(1.5))
    #expect(try JSON.parse("-0.0") == .number(-0.0))
    #expect(try JSON.parse("1e3") == .number(1000))
    #expect(try JSON.parse("1E-7") == .number(1e-7))
    #expect(try JSON.parse("0.1e+1") == .number(1))
    #expect(try JSON.parse("1e999") == .number(.infinity))
    #expect(try JSON.parse("-1e999") == .number(-.infinity))
    #expect(try JSON.parse("1e-999") == .number(0))
    #expect(try JSON.parse("Infinity") == .number(.infinity))
    #expect(try JSON.parse("-Infinity") == .number(-.infinity))
    #expect(try JSON.parse("NaN").doubleValue?.isNaN == true)
    #expect(try JSON.parse("\"\"") == .string(""))
  }

  @Test("escapes and surrogate pairs are decoded")
  func escapes() throws {
    #expect(
      try JSON.parse(#""a\"\\\/\b\f\n\r\t\u0041\u00e9\ud83d\ude00é😀\u0000""#)
        == .string("a\"\\/\u{8}\u{c}\n\r\tAé😀é😀\0"))
  }

  @Test("keys keep their order, and a repeated one its first place and last value")
  func order() throws {
    let value = try JSON.parse(#"{"b": 1, "a": [2, {"z": null, "y": {}}], "b": 3, "": []}"#)
    #expect(value.objectValue?.keys == ["b", "a", ""])
    #expect(value["b"] == 3)
    #expect(value["a"]?.arrayValue?[1].objectValue?.keys == ["z", "y"])
    #expect(value["missing"] == nil)
    #expect(
      try JSON.parseNotingDuplicateKeys(Array(#"{"b": 1, "b": 2}"#.utf8)).duplicateKeys == ["b"])
  }

  @Test("strings and keys that are only canonically equivalent stay apart")
  func canonicalEquivalence() throws {
    let value = try JSON.parse("{\"\u{e9}\": 1, \"e\u{301}\": 2}")
    #expect(value.objectValue?.count == 2)
    #expect(value["\u{e9}"] == 1)
    #expect(value["e\u{301}"] == 2)
    #expect(JSON.string("\u{e9}") != JSON.string("e\u{301}"))
    #expect(Set([JSON.string("\u{e9}"), JSON.string("e\u{301}")]).count == 2)
  }

  @Test("more keys than a small table holds are found again")
  func manyKeys() throws {
    let text = "{" + (0..<5000).map { "\"key\($0)\": \($0)" }.joined(separator: ",") + "}"
    let object = try #require(try JSON.parse(text).objectValue)
    #expect(object.count == 5000)
    for index in 0..<5000 { #expect(object["key\(index)"] == .integer(index)) }
    #expect(object[4999].key == "key4999")
  }

  @Test(
    "a broken document is one error at its place",
    arguments: [
      ("", 0), ("  ", 2), ("{", 1), ("[", 1), ("[1", 2), ("[1,", 3), ("[1,]", 3), ("[,1]", 1),
      ("{\"a\"", 4), ("{\"a\":", 5), ("{\"a\":1", 6), ("{\"a\":1,", 7), ("{\"a\":1,}", 7),
      ("{a:1}", 1), ("{'a':1}", 1), ("{1:1}", 1), ("{\"a\" 1}", 5), ("[1 2]", 3), ("1 2", 2),
      ("nul", 0), ("nulls", 4), ("True", 0), ("None", 0), ("nan", 0), ("+1", 0), ("01", 1),
      ("-01", 2), ("-", 1), ("-a", 1), (".5", 0), ("1.", 2), ("1.e5", 2), ("1e", 2), ("1e+", 3),
      ("0x10", 1), ("\"abc", 4), ("\"a\nb\"", 2), ("\"a\u{1}\"", 2), ("\"\\x\"", 1), ("\"\\", 2),
      ("\"\\u12\"", 5), ("\"\\u12G4\"", 5), ("\"\\ud800\"", 1), ("\"\\ud800x\"", 1),
      ("\"\\ud800\\u0041\"", 1), ("\"\\udc00\"", 1), ("\"\\ud800\\ud800\"", 1), ("[1]]", 3),
      ("{}{}", 2), ("]", 0), ("}", 0), ("[}", 1), ("{]", 1), ("[1}", 2), ("{\"a\":1]", 6),
      ("// c\n1", 0), ("\u{feff}1", 0), ("-Inf", 1), ("\u{a0}1", 0),
    ])
  func broken(_ text: String, _ offset: Int) throws {
    let error = #expect(throws: JSONError.self) { try JSON.parse(text) }
    #expect(error?.position.byteOffset == offset, "\(text): \(String(describing: error))")
    #expect(error?.description.contains("\n") == false)
  }

  @Test("bytes that are not UTF-8 are an error at the first of them")
  func invalidUTF8() {
    let cases: [([UInt8], Int)] = [
      ([0x22, 0x61, 0xFF, 0x22], 2), ([0x22, 0xC3, 0x22], 1), ([0x22, 0xC0, 0x80, 0x22], 1),
      ([0x22, 0xED, 0xA0, 0x80, 0x22], 1), ([0x22, 0xF4, 0x90, 0x80, 0x80, 0x22], 1),
      ([0x22, 0x5C, 0x6E, 0xE2, 0x82, 0x22], 3), ([0x22, 0xC3, 0xA9, 0x80, 0x22], 3),
    ]
    for (bytes, offset) in cases {
      let error = #expect(throws: JSONError.self) { try JSON.parse(bytes) }
      guard case .invalidUTF8(let byte, let position) = error else {
        Issue.record("\(bytes): \(String(describing: error))")
        continue
      }
      #expect(position.byteOffset == offset)
      #expect(byte == bytes[offset])
    }
    #expect(throws: JSONError.self) { try JSON.parse([0xFF]) }
  }

  @Test("an error names line and column, counted in scalars")
  func position() {
    let error = #expect(throws: JSONError.self) { try JSON.parse("{\n  \"é😀\": x\n}") }
    #expect(error?.position.line == 2)
    #expect(error?.position.column == 9)
    #expect(
      error?.description == "JSON: expected a value, found 'x', line 2, column 9 (byte 14)")
  }

  @Test("nesting is bounded and costs no stack")
  func depth() throws {
    func nested(_ depth: Int) -> String {
      String(repeating: "[", count: depth) + String(repeating: "]", count: depth)
    }
    #expect(throws: Never.self) { try JSON.parse(nested(512)) }
    let error = #expect(throws: JSONError.self) { try JSON.parse(nested(513)) }
    #expect(error?.position.byteOffset == 512)
    let deepest = JSON.maximumSupportedDepth
    let value = try JSON.parse(nested(deepest), maximumDepth: .max)
    #expect(value.serialized() == nested(deepest))
    #expect(throws: JSONError.self) {
      try JSON.parse(String(repeating: "{\"a\":[", count: 1_000_000), maximumDepth: .max)
    }
  }

  @Test("an integer of too many digits is an error, one of the most digits is kept")
  func longIntegers() throws {
    let digits = String(repeating: "7", count: JSON.maximumIntegerDigits)
    #expect(try JSON.parse("-" + digits) == .bigInteger("-" + digits))
    #expect(throws: JSONError.self) { try JSON.parse(digits + "7") }
    #expect(try JSON.parse(digits).doubleValue == .infinity)
  }

  @Test("every prefix of a document is an error and never a trap")
  func truncation() {
    let text = Array(
      #"{"a\u00e9": [1, -2.5e3, true, null, "x\ud83d\ude00é"], "b": {"c": NaN}}"#.utf8)
    for length in 0..<text.count {
      #expect(throws: JSONError.self) { try JSON.parse(text[..<length]) }
    }
    #expect(throws: Never.self) { try JSON.parse(text[...]) }
    #expect(throws: Never.self) { try JSON.parse(text.span) }
  }

  @Test("every document with one byte changed is a value or an error")
  func mutation() {
    let text = Array(#"{"a\u00e9": [1, -2.5e3, "\ud83d\ude00é"]}"#.utf8)
    var values = 0
    for index in text.indices {
      for byte in UInt8.min...UInt8.max {
        var changed = text
        changed[index] = byte
        if let value = try? JSON.parse(changed) {
          values += 1
          #expect((try? JSON.parse(value.serialized())) != nil)
        }
      }
    }
    #expect(values > text.count)
  }
}
