// The model card: front matter that YAML readers take, and text that stays text.

import Report
import Testing
import Yams

@Suite("The model card")
struct ModelCardTests {
  private func frontMatter(_ card: ModelCard) throws -> [String: Any] {
    let text = card.markdown
    #expect(text.hasPrefix("---\n"))
    let end = try #require(text.firstRange(of: "\n---\n"))
    return try #require(
      try Yams.load(yaml: String(text[text.startIndex..<end.lowerBound].dropFirst(4)))
        as? [String: Any])
  }

  @Test("an adapter's front matter is what PEFT writes")
  func adapter() throws {
    let card = ModelCard(
      baseModel: "Qwen/Qwen3-0.6B", isAdapter: true, kind: "LoRA", folder: "out/quill")
    let matter = try frontMatter(card)
    #expect(matter["base_model"] as? String == "Qwen/Qwen3-0.6B")
    #expect(matter["library_name"] as? String == "peft")
    #expect(matter["pipeline_tag"] as? String == "text-generation")
    #expect(
      matter["tags"] as? [String] == [
        "base_model:adapter:Qwen/Qwen3-0.6B", "lora", "qwen-sft", "sft",
      ])
    #expect(matter["license"] == nil && matter.count == 4)
    #expect(card.markdown.contains("# quill\n"))
    #expect(card.markdown.contains("qwen-sft chat --model Qwen/Qwen3-0.6B --adapter out/quill"))
    #expect(card.markdown.contains("PeftModel.from_pretrained(model, \"out/quill\")"))
  }

  @Test("all parameters are another library's model")
  func full() throws {
    let card = ModelCard(baseModel: "m", isAdapter: false, kind: "", folder: "out")
    let matter = try frontMatter(card)
    #expect(matter["library_name"] as? String == "transformers")
    #expect(matter["tags"] as? [String] == ["qwen-sft", "sft"])
    #expect(!card.markdown.contains("peft"))
  }

  @Test(
    "names that are traps in YAML, Markdown, shells and Python stay names",
    arguments: [
      "no", "1.5", "a: b", "\"quoted\" \\ 'too'", "line\nend", "--- \n---", "é漢🙂",
      "\u{7F}\u{85}\u{2028}\u{FEFF}",
      "`x` ``` | <b>", "$(rm -rf /)", "", " ", "#", "- a", "\t",
    ])
  func hostile(_ name: String) throws {
    var card = ModelCard(baseModel: name, isAdapter: true, kind: "LoRA", folder: "a/\(name)")
    card.data = [.init("Files", name + "|\n# no heading")]
    let matter = try frontMatter(card)
    #expect(matter["base_model"] as? String == name)
    #expect((matter["tags"] as? [String])?.first == "base_model:adapter:" + name)
    let lines = card.markdown.split(separator: "\n", omittingEmptySubsequences: false)
    // Two blocks open and close: no text ended one.
    #expect(lines.count { $0.hasPrefix("```") } == 4)
    #expect(!card.markdown.contains("\n# no heading"))
    #expect(!card.markdown.contains("chat --model $("))
  }
}
