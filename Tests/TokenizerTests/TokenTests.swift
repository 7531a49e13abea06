// Single tokens, roles, odd input and long input.

import Files
import OrderedJSON
import Testing
import Tokenizer

@Suite("Tokens and texts")
struct TokenTests {
  let tokenizer: Tokenizer

  init() throws { tokenizer = try Tokenizer(directory: Fixture.folder) }

  @Test("Roles and special tokens come from tokenizer_config.json")
  func roles() throws {
    let endOfTurn = try #require(tokenizer.tokenID(for: "<|im_end|>"))
    let endOfText = try #require(tokenizer.tokenID(for: "<|endoftext|>"))
    let start = try #require(tokenizer.tokenID(for: "<|im_start|>"))
    let think = try #require(tokenizer.tokenID(for: "<think>"))
    #expect(tokenizer.eosTokenID == endOfTurn)
    #expect(tokenizer.padTokenID == endOfText)
    #expect(tokenizer.bosTokenID == nil)
    #expect(tokenizer.roleTokens == ["eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"])
    #expect(Set(tokenizer.specialTokenIDs) == [endOfTurn, endOfText, start])
    #expect(tokenizer.isSpecial(endOfTurn) && !tokenizer.isSpecial(think))
    #expect(tokenizer.encode("<|im_start|>a<think>") == [start] + tokenizer.encode("a") + [think])
    #expect(tokenizer.decode([start, think, endOfTurn], skipSpecialTokens: true) == "<think>")
  }

  @Test("Every id has a token and every token its id")
  func tokensAndIDs() throws {
    #expect(tokenizer.vocabularySize == 607)
    for id in 0..<Int32(tokenizer.vocabularySize) {
      let token = try #require(tokenizer.token(for: id))
      #expect(tokenizer.tokenID(for: token) == id)
    }
    #expect(tokenizer.token(for: 607) == nil)
    #expect(tokenizer.token(for: -1) == nil)
    #expect(tokenizer.tokenID(for: "no such token") == nil)
    #expect(tokenizer.decode([-1, 607, .max, .min]) == "")
  }

  @Test("Texts that are canonically equal and of other bytes are other tokens without NFC")
  func bytesNotCanonicalEquivalence() throws {
    let plain = try Fixture.load(Fixture.file("gpt2"))
    #expect(plain.encode("\u{E9}") != plain.encode("e\u{301}"))
    #expect(tokenizer.encode("\u{E9}") == tokenizer.encode("e\u{301}"))
  }

  @Test("Vocabulary and merges files give the tokenizer of tokenizer.json")
  func vocabularyFiles() throws {
    let model = try #require(Fixture.json("tokenizer.json")["model"])
    let merges = try #require(model["merges"]?.arrayValue).map { pair in
      pair.arrayValue?.compactMap(\.stringValue).joined(separator: " ") ?? ""
    }
    let folder = try TestFolder()
    try folder.write(try #require(model["vocab"]).serialized(), to: "vocab.json")
    try folder.write(Fixture.bytes("tokenizer_config.json"), to: "tokenizer_config.json")
    for lines in [["#version: 0.2"] + merges + [""], merges] {
      try folder.write(lines.joined(separator: "\n"), to: "merges.txt")
      let other = try Tokenizer(directory: folder.path)
      #expect(other.vocabularySize == tokenizer.vocabularySize)
      #expect(other.eosTokenID == tokenizer.eosTokenID)
      for vector in try Fixture.vectors(of: "plain") {
        guard let text = vector["text"]?.stringValue else { continue }
        #expect(try other.encode(text) == Fixture.ids(vector["ids"]))
      }
    }
  }

  @Test("Merges as strings are the merges as pairs")
  func mergeForms() throws {
    var file = try #require(Fixture.json("tokenizer.json").objectValue)
    var model = try #require(file["model"]?.objectValue)
    model["merges"] = .array(
      try #require(model["merges"]?.arrayValue).map { pair in
        .string(pair.arrayValue?.compactMap(\.stringValue).joined(separator: " ") ?? "")
      })
    // The merges may stand before the vocabulary that they refer to.
    let vocabulary = model.removeValue(forKey: "vocab")
    model["vocab"] = vocabulary
    file["model"] = .object(model)
    let other = try Fixture.load(.object(file))
    for vector in try Fixture.vectors(of: "plain") {
      guard let text = vector["text"]?.stringValue else { continue }
      #expect(try other.encode(text) == Fixture.ids(vector["ids"]))
    }
  }

  @Test("tokenizer_config.json adds tokens that tokenizer.json lacks, and roles that are in none")
  func configAddsTokens() throws {
    let config = """
      {"eos_token": "<end>", "pad_token": null, "added_tokens_decoder": {"607": {"content": "<tool_response>",
      "special": false, "normalized": false}, "600": {"content": "<|endoftext|>", "special": true,
      "normalized": false, "lstrip": true}}}
      """
    let tokenizer = try Fixture.load(Fixture.bytes("tokenizer.json"), config: config)
    #expect(tokenizer.tokenID(for: "<tool_response>") == 607)
    #expect(tokenizer.eosTokenID == 608)
    #expect(tokenizer.isSpecial(608) && !tokenizer.isSpecial(607))
    #expect(tokenizer.padTokenID == nil)
    #expect(tokenizer.encode("<tool_response>  <|endoftext|><end>") == [607, 600, 608])
  }

  @Test("Ill-formed UTF-8 counts as replacement characters")
  func illFormedInput() {
    let bytes: [UInt8] = [0x61, 0xFF, 0xE4, 0xBD, 0x62, 0xF0, 0x9F]
    let repaired = "a\u{FFFD}\u{FFFD}b\u{FFFD}"
    #expect(tokenizer.encode(utf8: bytes) == tokenizer.encode(repaired))
    #expect(tokenizer.encodeWithOffsets(utf8: bytes) == tokenizer.encodeWithOffsets(repaired))
  }

  @Test("A streamed text never ends inside a code point")
  func streaming() {
    let text = "日本 🙂👩‍👩‍👧 e\u{301} ok"
    let ids = tokenizer.encode(text)
    var decoder = StreamingDecoder(tokenizer: tokenizer)
    let parts = ids.map { decoder.push($0) }
    #expect(parts.joined() == text)
    #expect(!parts.joined().unicodeScalars.contains("\u{FFFD}"))
    #expect(parts.contains(""))
    #expect(decoder.finish() == "")
    // The first bytes of a code point that never ends come out when the text ends.
    let emoji = tokenizer.encode("\u{10FFFF}")
    #expect(emoji.count > 1)
    #expect(decoder.push(emoji[0]) == "")
    #expect(decoder.finish() == "\u{FFFD}")
  }

  @Test("Offsets cover the text in order and join to it")
  func offsetsCoverText() {
    let text = "Größe 🙂<think>\n\n你好  x"
    let encoding = tokenizer.encodeWithOffsets(text)
    var reached = 0
    for range in encoding.offsets {
      #expect(range.lowerBound <= reached && range.upperBound >= reached)
      reached = max(reached, range.upperBound)
    }
    #expect(reached == text.utf8.count)
  }

  @Test("Very long words are encoded in little time", .timeLimit(.minutes(1)))
  func longWords() {
    var generator = SeededGenerator(state: 3)
    let letters = Array("abcdefghijklmnopqrstuvwxyzéшあ你".unicodeScalars)
    let words: [String] = [
      String(repeating: "a", count: 1_000_000),
      String(repeating: "the", count: 300_000),
      String(
        String.UnicodeScalarView(
          (0..<500_000).compactMap { _ in letters.randomElement(using: &generator) })),
      String(repeating: " ", count: 1_000_000),
      String(repeating: "<|im_start|", count: 100_000),
      "a" + String(repeating: "\u{301}\u{345}", count: 250_000),
    ]
    for word in words {
      let encoding = tokenizer.encodeWithOffsets(word)
      #expect(encoding.ids == tokenizer.encode(word))
      #expect(encoding.offsets.last?.upperBound == word.utf8.count || word.hasPrefix("a\u{301}"))
      #expect(tokenizer.encode(tokenizer.decode(encoding.ids)) == encoding.ids)
    }
  }

  @Test("Words are merged as the definition has it, by scanning and with the heap")
  func mergeOrder() {
    // Words of up to 48 bytes are scanned.
    var generator = SeededGenerator(state: 9)
    let letters = Array("theandorin".utf8)
    for length in [47, 48, 49, 50, 64, 200] {
      let word = (0..<length).compactMap { _ in letters.randomElement(using: &generator) }
      let ids = tokenizer.encode(utf8: word)
      #expect(ids == referenceMerge(word))
    }
  }

  @Test("Many threads get the answers of one")
  func threads() async throws {
    let texts = try Fixture.vectors(of: "plain").compactMap { $0["text"]?.stringValue }
    let tokenizer = self.tokenizer
    let expected = texts.map { tokenizer.encode($0) }
    await withTaskGroup(of: [[Int32]].self) { group in
      for _ in 0..<8 {
        group.addTask { texts.map { tokenizer.encode($0) } }
      }
      for await result in group { #expect(result == expected) }
    }
  }

  /// Byte-pair encoding as its definition has it: over and over the first of the lowest merges.
  private func referenceMerge(_ word: [UInt8]) -> [Int32] {
    guard let model = try? Fixture.json("tokenizer.json")["model"],
      let merges = model["merges"]?.arrayValue
    else { return [] }
    var ranks: [[String]: Int] = [:]
    for (rank, merge) in merges.enumerated() {
      ranks[merge.arrayValue?.compactMap(\.stringValue) ?? []] = rank
    }
    var parts = word.map { String(decoding: [$0], as: UTF8.self) }
    while true {
      let best = (1..<max(parts.count, 1)).compactMap { index in
        ranks[[parts[index - 1], parts[index]]].map { (rank: $0, index: index) }
      }.min { ($0.rank, $0.index) < ($1.rank, $1.index) }
      guard let best else { return parts.compactMap { tokenizer.tokenID(for: $0) } }
      parts[best.index - 1] += parts[best.index]
      parts.remove(at: best.index)
    }
  }
}
