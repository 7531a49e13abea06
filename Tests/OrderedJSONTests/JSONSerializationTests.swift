// Serialization against what Python's json.dumps and repr print (literals were taken from CPython 3.11).

import OrderedJSON
import Testing

@Suite("Writing JSON")
struct JSONSerializationTests {
  private let sample: JSON = [
    "b": [1, 2.5, nil, true], "a": ["é": "\u{1F600}\"\\/\n\u{1}\u{7f}", "empty": [:]], "c": [],
  ]

  @Test("the styles are those of json.dumps")
  func styles() {
    #expect(
      sample.serialized()
        == "{\"b\": [1, 2.5, null, true], \"a\": {\"é\": \"😀\\\"\\\\/\\n\\u0001\u{7f}\", \"empty\": {}}, \"c\": []}"
    )
    #expect(
      sample.serialized(style: .compact, sortedKeys: true, ensureASCII: true)
        == #"{"a":{"empty":{},"\u00e9":"\ud83d\ude00\"\\/\n\u0001\u007f"},"b":[1,2.5,null,true],"c":[]}"#
    )
    #expect(
      (["b": [1, []], "a": [:]] as JSON).serialized(style: .indented(2))
        == "{\n  \"b\": [\n    1,\n    []\n  ],\n  \"a\": {}\n}")
    #expect(([1] as JSON).serialized(style: .indented(0)) == "[\n1\n]")
  }

  @Test("sorted keys are in the order of code points")
  func sorting() {
    let value: JSON = ["\u{FFFF}": 1, "\u{10000}": 2, "Z": 3, "a": 4, "": 5]
    #expect(
      value.serialized(style: .compact, sortedKeys: true)
        == "{\"\":5,\"Z\":3,\"a\":4,\"\u{FFFF}\":1,\"\u{10000}\":2}")
  }

  @Test(
    "numbers are written as Python's repr",
    arguments: [
      (0.0, "0.0"), (-0.0, "-0.0"), (1, "1.0"), (-1.5, "-1.5"), (0.1, "0.1"), (1e-4, "0.0001"),
      (1.5e-4, "0.00015"), (1e-5, "1e-05"), (1.25e-5, "1.25e-05"), (1e15, "1000000000000000.0"),
      (1e16, "1e+16"), (9_007_199_254_740_994, "9007199254740994.0"),
      (9_999_999_999_999_998, "9999999999999998.0"),
      (12_345_678_901_234_568, "1.2345678901234568e+16"),
      (1e22, "1e+22"), (1.7976931348623157e308, "1.7976931348623157e+308"),
      (.leastNonzeroMagnitude, "5e-324"),
      (2.2250738585072014e-308, "2.2250738585072014e-308"), (1e100, "1e+100"),
      (1_000_000, "1000000.0"), (123456.789, "123456.789"), (1.0 / 3, "0.3333333333333333"),
      (2e-4, "0.0002"), (.infinity, "Infinity"), (-.infinity, "-Infinity"), (.nan, "NaN"),
    ])
  func numbers(_ value: Double, _ text: String) {
    #expect(JSON.number(value).serialized() == text)
  }

  @Test("what was written reads back equal")
  func roundTrip() throws {
    for style in [JSONStyle.python, .compact, .indented(4)] {
      for ensureASCII in [false, true] {
        #expect(
          try JSON.parse(sample.serialized(style: style, ensureASCII: ensureASCII)) == sample)
      }
    }
    var generator = SystemRandomNumberGenerator()
    for _ in 0..<20_000 {
      let value = Double(bitPattern: generator.next())
      guard value.isFinite else { continue }
      #expect(try JSON.parse(JSON.number(value).serialized()) == .number(value))
    }
  }

  @Test("an object is edited in place and keeps its order")
  func editing() {
    var object: JSONObject = ["a": 1, "b": 2, "c": 3]
    object["b"] = nil
    object["a"] = "x"
    object["d"] = 4
    #expect(object.map(\.key) == ["a", "c", "d"])
    #expect(object.values == ["x", 3, 4])
    #expect(object.removeValue(forKey: "zz") == nil)
    #expect(object.index(ofKey: "d") == 2)
    #expect(JSON.object(object).serialized() == #"{"a": "x", "c": 3, "d": 4}"#)
  }
}
