// The tokenizer against Hugging Face `tokenizers`: ids, offsets and decoded text.

import OrderedJSON
import Testing
import Tokenizer

@Suite("Parity with tokenizers")
struct ParityTests {
  @Test("Ids and offsets are those of tokenizers", arguments: Fixture.variants)
  func encoding(variant: String) throws {
    let tokenizer = try Fixture.load(Fixture.file(variant))
    var count = 0
    for vector in try Fixture.vectors(of: variant) {
      guard let text = vector["text"]?.stringValue else { continue }
      let encoding = tokenizer.encodeWithOffsets(text)
      let ids = try Fixture.ids(vector["ids"])
      #expect(encoding.ids == ids, "\(variant): \(text.debugDescription)")
      let offsets = try #require(vector["offsets"]?.arrayValue).map { pair in
        let bounds = try Fixture.ids(pair)
        return Int(bounds[0])..<Int(bounds[1])
      }
      #expect(
        encoding.codePointOffsets(in: text) == offsets, "\(variant): \(text.debugDescription)")
      #expect(tokenizer.encode(text) == ids)
      #expect(tokenizer.encode(utf8: Array(text.utf8)) == ids)
      count += 1
    }
    #expect(count >= 60)
  }

  @Test("Decoded text is that of tokenizers, at once and streamed", arguments: Fixture.variants)
  func decoding(variant: String) throws {
    let tokenizer = try Fixture.load(Fixture.file(variant))
    var count = 0
    for vector in try Fixture.vectors(of: variant) where vector["decoded"] != nil {
      let ids = try Fixture.ids(vector["ids"])
      for (key, skips) in [("decoded", false), ("skipped", true)] {
        let expected = Array(try #require(vector[key]?.stringValue).utf8)
        let text = tokenizer.decode(ids, skipSpecialTokens: skips)
        #expect(Array(text.utf8) == expected, "\(variant): \(ids)")
        var decoder = StreamingDecoder(tokenizer: tokenizer, skipSpecialTokens: skips)
        var parts = ids.map { decoder.push($0) }
        parts.append(decoder.finish())
        #expect(Array(parts.joined().utf8) == expected, "\(variant): \(ids)")
      }
      count += 1
    }
    #expect(count >= 20)
  }

  @Test(
    "The real tokenizers give the golden ids and text",
    .enabled(if: SharedData.isThere, SharedData.hint), arguments: ["qwen3", "qwen2.5"])
  func realVocabularies(name: String) throws {
    let tokenizer = try SharedData.tokenizer(name)
    let vectors = try Fixture.lines(SharedData.path("goldens/qwen3_vectors.jsonl"))
    #expect(vectors.count > 400)
    for vector in vectors {
      let text = try #require(vector["text"]?.stringValue)
      let own = name == "qwen3" ? nil : vector["ids_\(name)"]
      let ids = try Fixture.ids(own ?? vector["ids"])
      #expect(tokenizer.encode(text) == ids, "\(text.debugDescription)")
      if own == nil, let decoded = vector["decoded"]?.stringValue {
        #expect(Array(tokenizer.decode(ids).utf8) == Array(decoded.utf8))
      }
    }
  }

  @Test(
    "The real Qwen2.5 tokenizer gives the ids of another project's vectors",
    .enabled(if: SharedData.isThere, SharedData.hint))
  func otherVectors() throws {
    let tokenizer = try SharedData.tokenizer("qwen2.5")
    let vectors = try Fixture.lines(SharedData.path("goldens/llama_cpp_qwen2.jsonl"))
    #expect(vectors.count > 40)
    for vector in vectors {
      let text = try #require(vector["text"]?.stringValue)
      #expect(try tokenizer.encode(text) == Fixture.ids(vector["ids"]), "\(text.debugDescription)")
    }
  }

  @Test(
    "Text is cut into the words that tokenizers cuts it into",
    .enabled(if: SharedData.isThere, SharedData.hint))
  func words() throws {
    let qwen3 = try Fixture.load(Fixture.file("plain"))
    let qwen35 = try Fixture.load(Fixture.file("qwen35"))
    let vectors = try Fixture.lines(SharedData.path("goldens/pretokenize_qwen3_qwen35.jsonl"))
    #expect(vectors.count > 400)
    for vector in vectors {
      let text = try #require(vector["text"]?.stringValue)
      for (tokenizer, key) in [(qwen3, "qwen3"), (qwen35, "qwen35")] {
        let golden = try #require((vector[key] ?? vector["qwen3"])?.arrayValue)
        let expected = golden.compactMap(\.stringValue).map { Array($0.utf8) }
        #expect(tokenizer.words(in: text).map { Array($0.utf8) } == expected, "\(key): \(text)")
      }
    }
  }
}
