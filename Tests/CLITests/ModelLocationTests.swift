// Where models and cached files are looked for.

import Foundation
import Testing
import qwen_sft

@Suite("Places of files")
struct ModelLocationTests {
  let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  private func environment(_ variables: [String: String]) -> Environment {
    Environment { variables[$0] }
  }

  @Test("a name is found in the Hugging Face cache through refs/main")
  func cache() throws {
    let commit = "0123456789abcdef"
    for name in ["config.json", "tokenizer.json", "model.safetensors"] {
      try folder.write("{}", to: "hub/models--Qwen--Qwen3-4B/snapshots/\(commit)/\(name)")
    }
    try folder.write("{}", to: "hub/models--Qwen--Qwen3-4B/snapshots/other/config.json")
    try folder.write(commit + "\n", to: "hub/models--Qwen--Qwen3-4B/refs/main")
    let hub = folder.url("hub").path
    let expected = "\(hub)/models--Qwen--Qwen3-4B/snapshots/\(commit)"
    for variables in [
      ["HF_HUB_CACHE": hub, "HF_HOME": "/nonexistent"], ["HF_HOME": folder.url.path],
    ] {
      let location = ModelLocation(environment: environment(variables))
      #expect(try location.folder(of: "Qwen/Qwen3-4B") == expected)
    }
  }

  @Test("a name that is not there, or whose snapshot is gone, is an error")
  func missing() throws {
    try folder.write("0123", to: "hub/models--a--gone/refs/main")
    try folder.write("../../x", to: "hub/models--a--bad/refs/main")
    let location = ModelLocation(
      environment: environment(["HF_HOME": folder.url.path, "HF_HUB_OFFLINE": "1"]))
    for name in ["a/gone", "a/bad", "a/none", "../x", "a/b/c", "a b", "", "-a/b"] {
      #expect(throws: CLIError.self) { try location.folder(of: name) }
    }
  }

  @Test("a folder wins over a name, and ~ is the home folder")
  func folders() throws {
    try folder.write("", to: "models/x/config.json")
    let location = ModelLocation(environment: environment(["HOME": folder.url.path]))
    #expect(try location.folder(of: "~/models/x") == folder.url("models/x").path)
    #expect(try location.folder(of: folder.url("models/x").path) == folder.url("models/x").path)
    #expect(throws: CLIError.self) { try location.folder(of: "~/models/x/config.json") }
  }

  @Test("the caches follow their variables")
  func variables() throws {
    #expect(try environment(["QWEN_SFT_CACHE": "/q", "HOME": "/h"]).cacheFolder() == "/q")
    #expect(
      try environment(["XDG_CACHE_HOME": "/x", "HOME": "/h"]).cacheFolder() == "/x/qwen-sft")
    #expect(
      try environment(["XDG_CACHE_HOME": "", "HOME": "/h"]).cacheFolder() == "/h/.cache/qwen-sft")
    #expect(throws: CLIError.noCacheFolder) { try environment([:]).cacheFolder() }
    #expect(environment(["HF_HUB_CACHE": "~/c", "HOME": "/h"]).huggingFaceCache() == "/h/c")
    #expect(environment(["HF_HOME": "/f", "HOME": "/h"]).huggingFaceCache() == "/f/hub")
    #expect(environment(["XDG_CACHE_HOME": "/x"]).huggingFaceCache() == "/x/huggingface/hub")
    #expect(environment(["HOME": "/h"]).huggingFaceCache() == "/h/.cache/huggingface/hub")
    #expect(environment([:]).huggingFaceCache() == nil)
  }

  @Test("the demo files are unpacked once and keep their place")
  func demo() throws {
    let environment = environment(["QWEN_SFT_CACHE": folder.url("cache").path])
    let model = try DemoFiles.modelFolder(environment: environment)
    let tokenizer = URL(fileURLWithPath: model + "/tokenizer.json")
    let original = Program.packageRoot.appendingPathComponent("Fixtures/demo-model/tokenizer.json")
    #expect(try Data(contentsOf: tokenizer) == Data(contentsOf: original))
    let date = try FileManager.default.attributesOfItem(atPath: tokenizer.path)[.modificationDate]
    #expect(try DemoFiles.modelFolder(environment: environment) == model)
    let again = try FileManager.default.attributesOfItem(atPath: tokenizer.path)[.modificationDate]
    #expect(date as? Date == again as? Date)
    #expect(
      try Data(contentsOf: URL(fileURLWithPath: DemoFiles.samplePath(environment: environment)))
        == Data(contentsOf: Program.packageRoot.appendingPathComponent("Fixtures/sample.jsonl")))
  }
}
