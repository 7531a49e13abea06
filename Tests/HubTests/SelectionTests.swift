// Which files, which names, which addresses: plain values.

import Hub
import Testing

@Suite("Names and choices")
struct SelectionTests {
  private func listing(_ names: [String]) -> RepositoryListing {
    RepositoryListing(commit: "c0", files: names.map { HubFile(path: $0) })
  }

  private func chosen(_ names: [String], _ selection: FileSelection = .init()) throws -> [String] {
    try selection.files(of: listing(names), in: RepositoryName("a/b")).map(\.path)
  }

  @Test("a model is its configuration, its safetensors and its tokenizer")
  func model() throws {
    let names = [
      ".gitattributes", "LICENSE", "README.md", "config.json", "generation_config.json",
      "merges.txt", "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors",
      "model.safetensors.index.json", "tokenizer.json", "vocab.json", "pytorch_model.bin",
      "original/model.safetensors", "onnx/model.onnx", "model.gguf", "consolidated.safetensors",
      "additional_chat_templates/tool_use.jinja",
    ]
    #expect(
      try chosen(names) == [
        "config.json", "generation_config.json", "merges.txt", "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors", "model.safetensors.index.json", "tokenizer.json",
        "vocab.json", "additional_chat_templates/tool_use.jinja",
      ])
    #expect(
      try chosen(names, .init(need: .tokenizer)) == [
        "config.json", "generation_config.json", "merges.txt", "tokenizer.json", "vocab.json",
        "additional_chat_templates/tool_use.jinja",
      ])
    #expect(
      try chosen(names, .init(include: ["*.bin", "onnx/"])) == [
        "pytorch_model.bin", "onnx/model.onnx",
      ])
    #expect(
      try chosen(names, .init(include: ["*.json"], exclude: ["*index*", "v*"])) == [
        "config.json", "generation_config.json", "tokenizer.json",
      ])
    #expect(try chosen(["weights.safetensors", "config.json"]).count == 2)
    #expect(
      try chosen(
        ["adapter_config.json", "adapter_model.safetensors", "README.md"], .init(need: .adapter)
      )
      .count == 2)
  }

  @Test("a repository with pickle files alone is refused, and one without a chosen file too")
  func pickle() {
    #expect {
      try chosen(["config.json", "pytorch_model.bin"])
    } throws: {
      "\($0)".contains("pytorch_model.bin")
    }
    #expect(throws: HubError.self) { try chosen(["README.md"]) }
    #expect(throws: HubError.self) { try chosen(["config.json"], .init(include: ["x*"])) }
  }

  @Test(
    "patterns match as Python's fnmatch does",
    arguments: [
      ("*.json", "a/b.json", true), ("*.json", "a.jsonl", false), ("a?c", "abc", true),
      ("a?c", "ac", false), ("[ab]c", "bc", true), ("[!ab]c", "bc", false), ("[a-c]x", "bx", true),
      ("[", "[", true), ("[]]", "]", true), ("dir/", "dir/a/b", true),
      ("*a*b*c", "xxaxxbxxc", true),
      ("*a*b*c", "xxaxxbxx", false), ("", "", true), ("*", "", true), ("A", "a", false),
      ("[!]]", "a", true), ("a**b", "ab", true), ("[z-a]", "m", false),
    ])
  func patterns(pattern: String, path: String, isMatch: Bool) {
    #expect(FilePattern(pattern).matches(path) == isMatch)
  }

  @Test("a pattern of stars does not take for ever")
  func stars() {
    let pattern = FilePattern(String(repeating: "*a", count: 200) + "b")
    #expect(!pattern.matches(String(repeating: "a", count: 1000)))
  }

  @Test("names of repositories and revisions that lead elsewhere are refused")
  func names() {
    for name in ["", "a/b/c", "../a", "a/..", "-a", "a b", "a/b.", "a--b", "a\\b", "a/"] {
      #expect(throws: HubError.self) { try RepositoryName(name) }
    }
    for name in ["gpt2", "Qwen/Qwen3-4B", "a_b/c.d"] {
      #expect((try? RepositoryName(name))?.description == name)
    }
    for name in ["", "../x", "a/../b", "a//b", "/a", ".hidden", "a b", "a\u{0}", "a..b", "-x"] {
      #expect(throws: HubError.self) { try Revision(name) }
    }
    for name in ["main", "refs/pr/1", "v1.0"] { #expect(throws: Never.self) { try Revision(name) } }
  }

  @Test("addresses fall into scheme, host and port, seen from where they were found")
  func addresses() throws {
    let base = try #require(WebAddress("https://hub.example/a/b?c=d"))
    #expect(WebAddress("/x", relativeTo: base)?.description == "https://hub.example/x")
    #expect(WebAddress("//cdn.example/x", relativeTo: base)?.host == "cdn.example")
    #expect(WebAddress("HTTP://Cdn.Example:80/x")?.port == 80)
    #expect(WebAddress("https://hub.example:443/")?.hasSameOrigin(as: base) == true)
    #expect(WebAddress("http://hub.example/")?.hasSameOrigin(as: base) == false)
    for text in [
      "", "ftp://a/", "javascript:1", "https://", "https://a b/", "https://u:p@a/",
      "http://a:99999/",
    ] {
      #expect(WebAddress(text) == nil)
    }
  }

  @Test("the environment says how the hub is reached, as it does to huggingface_hub")
  func environment() throws {
    func settings(_ variables: [String: String], token: String? = nil) throws -> HubSettings {
      try HubSettings(cacheFolder: "/c", token: token) { variables[$0] }
    }
    #expect(try settings([:]).endpoint.description == "https://huggingface.co")
    #expect(
      try settings(["HF_ENDPOINT": "http://localhost:8080/hub/"]).endpoint.description
        == "http://localhost:8080/hub")
    #expect(throws: HubError.self) { try settings(["HF_ENDPOINT": "localhost"]) }
    #expect(try settings(["HF_TOKEN": " hf_a\n"]).token == "hf_a")
    #expect(try settings(["HUGGING_FACE_HUB_TOKEN": "b"]).token == "b")
    #expect(try settings(["HF_TOKEN": "a"], token: "c").token == "c")
    #expect(try settings(["HF_TOKEN": "a", "HF_HUB_DISABLE_IMPLICIT_TOKEN": "1"]).token == nil)
    #expect(throws: HubError.self) { try settings(["HF_TOKEN": "a\u{1}b"]) }
    #expect(throws: HubError.self) { try settings(["HF_TOKEN": "a b"]) }
    #expect(try settings(["HF_HUB_OFFLINE": "true"]).offlineReason != nil)
    #expect(try settings(["TRANSFORMERS_OFFLINE": "1"]).offlineReason != nil)
    #expect(try settings(["HF_HUB_OFFLINE": "0"]).offlineReason == nil)
  }

  @Test(
    "sizes are told in the unit that fits",
    arguments: [
      (0, "0 B"), (999, "999 B"), (1000, "1.00 kB"), (9_994, "9.99 kB"), (9_996, "10.0 kB"),
      (99_960, "100 kB"), (1_234_567, "1.23 MB"), (8_045_000_000, "8.05 GB"), (999_600, "1.00 MB"),
    ])
  func sizes(count: Int, text: String) { #expect(byteText(count) == text) }
}
