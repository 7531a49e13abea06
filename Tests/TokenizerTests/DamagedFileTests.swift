// Damaged, hostile and foreign files: an error in one line, never a trap.

import Files
import OrderedJSON
import Testing
import Tokenizer

@Suite("Damaged tokenizer files")
struct DamagedFileTests {
  @Test("A folder without a tokenizer is named in the error")
  func missing() throws {
    let folder = try TestFolder()
    let error = #expect(throws: TokenizerError.self) { try Tokenizer(directory: folder.path) }
    #expect(error?.description.hasPrefix(folder.path) == true)
    try folder.write("{}", to: "vocab.json")
    #expect(throws: TokenizerError.self) { try Tokenizer(directory: folder.path) }
    #expect(throws: TokenizerError.self) { try Tokenizer(directory: "") }
  }

  @Test("A truncated tokenizer.json is an error, wherever it ends")
  func truncated() throws {
    let bytes = try Fixture.bytes("tokenizer.json")
    let ends = Array(stride(from: 0, to: bytes.count, by: 97)) + [bytes.count - 1]
    for end in ends {
      #expect(throws: TokenizerError.self, "cut at \(end)") {
        try Fixture.load(Array(bytes[..<end]))
      }
    }
  }

  @Test("A tokenizer.json with changed bytes loads or is an error")
  func mutated() throws {
    let original = try Fixture.bytes("tokenizer.json")
    var generator = SeededGenerator(state: 1)
    var failures = 0
    for _ in 0..<300 {
      var bytes = original
      for _ in 0..<Int.random(in: 1...4, using: &generator) {
        let place = Int.random(in: 0..<bytes.count, using: &generator)
        switch Int.random(in: 0..<4, using: &generator) {
        case 0: bytes[place] = UInt8.random(in: 0...255, using: &generator)
        case 1: bytes.remove(at: place)
        case 2: bytes[place] = Array("\"\\{}[],:09-".utf8).randomElement(using: &generator) ?? 0
        default:
          let length = min(Int.random(in: 1...60, using: &generator), bytes.count - place)
          bytes.insert(contentsOf: bytes[place..<(place + length)], at: place)
        }
      }
      do {
        let tokenizer = try Fixture.load(bytes)
        let ids = tokenizer.encode("The <think> 12 naïve e\u{301} 你好")
        _ = tokenizer.decode(ids + Array(0..<700), skipSpecialTokens: true)
      } catch let error as TokenizerError {
        failures += 1
        #expect(!error.description.utf8.contains(0x0A))
      }
    }
    #expect(failures > 100)
  }

  @Test(
    "A file that is no tokenizer is an error",
    arguments: [
      "", "{", "[]", "null", "{}", "{}x", #"{"model": 3}"#, #"{"model": {"vocab": {}}}"#,
      #"{"model": {"vocab": {"a": 1e3}, "merges": []}}"#,
      #"{"model": {"vocab": {"a": -1}, "merges": []}}"#,
      #"{"model": {"vocab": {"a": 99999999999999999999}, "merges": []}}"#,
      #"{"model": {"vocab": {"a": 2000000000}, "merges": []}}"#,
      #"{"model": {"vocab": {"a": 0, "a": 1}, "merges": []}}"#,
      #"{"model": {"vocab": {"a": 0, "b": 0}, "merges": []}}"#,
      #"{"model": {"vocab": {"a": 0, "b": 1}, "merges": ["a b"]}}"#,
      #"{"model": {"vocab": {"a": 0, "b": 1}, "merges": ["ab"]}}"#,
      #"{"model": {"vocab": {"a": 0}, "merges": [["a"]]}}"#,
      #"{"model": {"vocab": {"\ud800": 0}, "merges": []}}"#,
      #"{"model": {"vocab": {"\x": 0}, "merges": []}}"#,
      #"{"model": {"vocab": [["a", 0.5]], "merges": []}}"#,
      #"{"model": {"type": "WordPiece", "vocab": {"a": 0}, "merges": []}}"#,
    ])
  func foreign(text: String) {
    #expect(throws: TokenizerError.self) { try Fixture.load(Array(text.utf8)) }
  }

  @Test(
    "An added token that tokenizers cannot read is an error that names the field",
    arguments: [
      ("id", "-5"), ("id", "4294967296"), ("id", "1.0"), ("id", "\"3\""), ("id", "null"),
      ("id", nil), ("special", "1"), ("special", nil), ("lstrip", nil), ("normalized", "null"),
      ("content", nil),
    ])
  func addedToken(field: String, value: String?) throws {
    let error = #expect(throws: TokenizerError.self) {
      try Fixture.load(try Self.file(changing: field, to: value.map { try JSON.parse($0) }))
    }
    #expect(error?.description.contains("tokenizer.json: added_tokens[1]") == true)
    if field != "content" { #expect(error?.description.contains("[1].\(field): ") == true) }
  }

  @Test("Ids of added tokens do not count, as in tokenizers")
  func addedTokenIDs() throws {
    let expected = try Fixture.load(Fixture.bytes("tokenizer.json"))
    for id in [0, 1, 1_000_000, Int(UInt32.max)] {
      let tokenizer = try Fixture.load(try Self.file(changing: "id", to: .integer(id)))
      #expect(tokenizer.addedTokens == expected.addedTokens)
    }
  }

  /// The fixture with a field of its second added token changed, or taken out.
  private static func file(changing field: String, to value: JSON?) throws -> JSON {
    var file = try #require(Fixture.json("tokenizer.json").objectValue)
    var tokens = try #require(file["added_tokens"]?.arrayValue)
    var token = try #require(tokens[1].objectValue)
    token[field] = value
    tokens[1] = .object(token)
    file["added_tokens"] = .array(tokens)
    return .object(file)
  }

  @Test("Deep nesting is an error")
  func nesting() {
    let deep = String(repeating: "[", count: 200_000)
    for text in [deep, #"{"version": \#(deep)"#, #"{"added_tokens": \#(deep)"#] {
      #expect(throws: TokenizerError.self) { try Fixture.load(Array(text.utf8)) }
    }
  }

  @Test(
    "A step that is not implemented is named",
    arguments: [
      ("normalizer", #"{"type": "NFKC"}"#),
      ("pre_tokenizer", #"{"type": "Whitespace"}"#),
      ("pre_tokenizer", "null"),
      ("pre_tokenizer", #"{"type": "ByteLevel", "add_prefix_space": true, "use_regex": true}"#),
      (
        "pre_tokenizer",
        """
        {"type": "Sequence", "pretokenizers": [{"type": "Split", "pattern": {"Regex": "\\\\s+"}, "behavior":
        "Isolated", "invert": false}, {"type": "ByteLevel", "add_prefix_space": false, "use_regex": false}]}
        """
      ),
      ("post_processor", #"{"type": "TemplateProcessing"}"#),
      ("decoder", "null"),
      ("decoder", #"{"type": "WordPiece"}"#),
    ])
  func unsupported(key: String, value: String) throws {
    var file = try #require(Fixture.json("tokenizer.json").objectValue)
    file[key] = try JSON.parse(value)
    let error = #expect(throws: TokenizerError.self) { try Fixture.load(.object(file)) }
    guard case .unsupported(_, let subject, _, _, _)? = error else {
      Issue.record("\(key): \(String(describing: error))")
      return
    }
    #expect(subject.hasPrefix(key))
  }

  @Test(
    "A damaged tokenizer_config.json is an error",
    arguments: [
      "", "[]", "{", #"{"eos_token": 3}"#, #"{"added_tokens_decoder": []}"#,
      #"{"added_tokens_decoder": {"x": {"content": "a"}}}"#,
      #"{"added_tokens_decoder": {"1": {}}}"#,
      #"{"split_special_tokens": true}"#,
    ])
  func config(text: String) throws {
    let bytes = try Fixture.bytes("tokenizer.json")
    #expect(throws: TokenizerError.self) { try Fixture.load(bytes, config: text) }
  }
}
