// Exported GGUF files, read back.

import Autograd
import Export
import Files
import GGUF
import NN
import OrderedJSON
import QwenModel
import SFT
import Tensor
import Testing
import Tokenizer

@Suite("GGUF export")
struct GGUFExportTests {
  @Test("a float32 file has the very numbers of the model, and the same greedy answers")
  func exact() throws {
    let folder = try TestFolder()
    let weights = try MergedWeights(folder: Fixture.demo, adapter: nil)
    _ = try GGUFExport(type: .f32, name: "demo").write(weights, to: folder("m.gguf"))
    let exported = try GGUFModel(path: folder("m.gguf"))
    let model = try QwenModel.load(directory: Fixture.demo)
    for (key, parameter) in model.namedParameters() {
      let found = try exported.weight(key, shape: parameter.shape.dimensions)
      #expect(try found.array(of: Float.self) == parameter.value.array(of: Float.self), "\(key)")
    }
    let tokenizer = try Tokenizer(directory: Fixture.demo)
    let prompt = tokenizer.encode(
      "<|im_start|>user\nWhat is your name?<|im_end|>\n<|im_start|>assistant\n")
    let (own, read) = (model, try exported.loaded())
    let answers = try [own, read].map {
      try Generator(model: $0, stopIDs: [1273], options: .greedy).generate(
        prompt: prompt, maxNewTokens: 24
      ).ids
    }
    #expect(answers[0] == answers[1] && answers[0].count > 3)
  }

  @Test("metadata are those of gguf-py and llama.cpp's converter")
  func metadata() throws {
    let folder = try TestFolder()
    let weights = try MergedWeights(folder: Fixture.demo, adapter: nil)
    _ = try GGUFExport(type: .f16, name: "demo").write(weights, to: folder("m.gguf"))
    let file = try GGUFFile(path: folder("m.gguf"))
    let expected = try JSON.parse(FileSystem.readFile(Fixture.root + "/gguf/demo-vocabulary.json"))
    func texts(_ key: String) -> [String]? { expected[key]?.arrayValue?.compactMap(\.stringValue) }
    #expect(file.value(of: "tokenizer.ggml.tokens")?.stringsValue == texts("tokens"))
    #expect(file.value(of: "tokenizer.ggml.merges")?.stringsValue == texts("merges"))
    #expect(
      file.value(of: "tokenizer.ggml.token_type")?.int32sValue
        == expected["token_type"]?.arrayValue?.compactMap { $0.integerValue.map { Int32($0) } })
    let special = try #require(expected["special"])
    for (key, name) in [("bos", "bos"), ("eos", "eos"), ("pad", "padding")] {
      #expect(
        file.value(of: "tokenizer.ggml.\(name)_token_id")?.integerValue
          == special[key]?.integerValue, "\(key)")
    }
    #expect(
      file.value(of: "tokenizer.chat_template")?.stringValue
        == expected["chat_template"]?.stringValue)
    for (key, value) in [
      ("general.architecture", GGUFValue.string("qwen3")), ("general.type", .string("model")),
      ("general.file_type", .uint32(1)), ("general.quantization_version", .uint32(2)),
      ("qwen3.block_count", .uint32(4)), ("qwen3.context_length", .uint32(1024)),
      ("qwen3.embedding_length", .uint32(128)), ("qwen3.feed_forward_length", .uint32(384)),
      ("qwen3.attention.head_count", .uint32(4)), ("qwen3.attention.head_count_kv", .uint32(2)),
      ("qwen3.attention.key_length", .uint32(32)), ("qwen3.attention.value_length", .uint32(32)),
      ("qwen3.rope.freq_base", .float32(10_000)),
      ("qwen3.attention.layer_norm_rms_epsilon", .float32(1e-6)),
      ("tokenizer.ggml.model", .string("gpt2")), ("tokenizer.ggml.add_bos_token", .bool(false)),
      ("tokenizer.ggml.pre", .string("qwen2")),
    ] { #expect(file.value(of: key) == value, "\(key)") }
    #expect(file.info(of: "output.weight") == nil)
    #expect(file.info(of: "blk.3.attn_q_norm.weight")?.type == .f32)
    #expect(file.info(of: "blk.3.ffn_down.weight")?.shape == [128, 384])
  }

  @Test("labels of sizes are those of gguf-py")
  func labels() throws {
    let expected = try JSON.parse(FileSystem.readFile(Fixture.root + "/gguf/size-labels.json"))
    for (key, value) in try #require(expected.objectValue) {
      #expect(GGUFExport.sizeLabel(try #require(Int(key))) == value.stringValue)
    }
  }

  @Test("Q4_K_M gives six bits to the head and to half of attn_v and ffn_down")
  func mixture() {
    func layers(_ name: String, _ count: Int) -> [Int] {
      (0..<count).filter {
        GGUFFileType.q4_k_m.type(
          of: "blk.\($0).\(name).weight", shape: [512, 256], layerCount: count, isTied: true)
          == .q6_K
      }
    }
    let sensitive = [0, 1, 2, 5, 8, 11, 14, 17, 20, 23, 24, 25, 26, 27]
    #expect(layers("attn_v", 28) == sensitive && layers("ffn_down", 28) == sensitive)
    #expect(layers("attn_q", 28).isEmpty && layers("ffn_up", 28).isEmpty)
    #expect(layers("ffn_down", 4) == [2, 3])
    func type(_ name: String, _ columns: Int, _ isTied: Bool, _ type: GGUFFileType = .q4_k_m)
      -> GGMLType
    { type.type(of: name, shape: [64, columns], layerCount: 4, isTied: isTied) }
    #expect(type("token_embd.weight", 256, true) == .q6_K)
    #expect(type("token_embd.weight", 256, false) == .q4_K)
    #expect(type("output.weight", 256, false) == .q6_K)
    #expect(type("output.weight", 96, false) == .q8_0)
    #expect(type("blk.0.attn_q.weight", 96, false) == .q5_0)
    #expect(type("blk.0.attn_q.weight", 90, false) == .f16)
    #expect(type("blk.0.attn_q.weight", 90, false, .q8_0) == .f16)
    #expect(
      GGUFFileType.q8_0.type(of: "output_norm.weight", shape: [96], layerCount: 4, isTied: true)
        == .f32)
  }

  @Test("every type is within its tolerance", arguments: GGUFFileType.allCases)
  func tolerance(_ type: GGUFFileType) throws {
    let folder = try TestFolder()
    let weights = try MergedWeights(folder: Fixture.demo, adapter: nil)
    _ = try GGUFExport(type: type, name: "demo").write(weights, to: folder("m.gguf"))
    let rows = [1, 2, 3].map { Fixture.row(40, vocabulary: 1200, seed: $0) }
    let comparison = try ModelComparison(
      of: StreamedModel(try GGUFModel(path: folder("m.gguf"))),
      with: StreamedModel(BaseWeights(weights)), on: rows)
    let limits = type.tolerance
    #expect(comparison.tokenCount == 117)
    #expect(comparison.meanDivergence <= limits.divergence)
    if type == .f32 { #expect(comparison.maximalLogitChange == 0) }
    try CheckedExport(path: folder("x")).require(
      comparison, within: .init(divergence: limits.divergence, agreement: limits.agreement))
  }

  @Test(
    "an adapter alone changes the base as it does itself",
    arguments: TrainedAdapter.all.filter { ["rslora", "pissa", "olora"].contains($0.variant) })
  func adapter(_ case: TrainedAdapter) throws {
    let folder = try TestFolder()
    let weights = try MergedWeights(folder: `case`.folder, adapter: `case`.adapter)
    _ = try GGUFExport(type: .f32, name: "a").writeAdapter(
      weights, baseName: "b", to: folder("a.gguf"))
    let file = try GGUFFile(path: folder("a.gguf"))
    #expect(file.value(of: "general.type")?.stringValue == "adapter")
    #expect(file.value(of: "adapter.type")?.stringValue == "lora")
    let deltas = try GGUFModel.adapter(path: folder("a.gguf"), for: weights.config)
    #expect(deltas.count == weights.deltas.count)
    let comparison = try ModelComparison(
      of: StreamedModel(BaseWeights(weights), deltas: deltas),
      with: StreamedModel(BaseWeights(weights), deltas: weights.deltas), on: `case`.rows)
    #expect(comparison.maximalLogitChange < 1e-5)
  }

  @Test("factors that differ between modules are in the file's B; DoRA is refused")
  func factors() throws {
    let (folder, path) = (try TestFolder(), Fixture.root + "/adapters/qwen3")
    try FileSystem.copyFolder(path + "/rslora/end", to: folder("a"))
    let text = try FileSystem.readText(folder("a/adapter_config.json"))
    let changed = text.replacing(
      "\"alpha_pattern\": {}", with: "\"alpha_pattern\": {\"mlp.up_proj\": 3, \"k_proj\": 0.5}")
    try #require(changed != text)
    try AtomicFile.write(changed, to: folder("a/adapter_config.json"))
    let weights = try MergedWeights(folder: path, adapter: folder("a"))
    #expect(Set(weights.deltas.values.map(\.scale)).count == 3)
    let export = GGUFExport(type: .f32, name: "a")
    _ = try export.writeAdapter(weights, baseName: "b", to: folder("a.gguf"))
    let deltas = try GGUFModel.adapter(path: folder("a.gguf"), for: weights.config)
    #expect(Set(deltas.values.map(\.scale)).count == 1)
    let comparison = try ModelComparison(
      of: StreamedModel(BaseWeights(weights), deltas: deltas),
      with: StreamedModel(BaseWeights(weights), deltas: weights.deltas),
      on: [Fixture.row(12, vocabulary: 61)])
    #expect(comparison.maximalLogitChange < 1e-5)
    let dora = try MergedWeights(folder: path, adapter: path + "/dora/end")
    #expect(throws: ExportError.self) {
      try export.writeAdapter(dora, baseName: "b", to: folder("d.gguf"))
    }
    #expect(FileSystem.kind(of: folder("d.gguf")) == nil)
  }

  @Test("a file that fails its check does not appear, and what was there stays")
  func checked() throws {
    let folder = try TestFolder()
    try AtomicFile.write("good", to: folder("m.gguf"))
    let weights = try MergedWeights(folder: Fixture.demo, adapter: nil)
    let place = try CheckedExport(path: folder("m.gguf"))
    let rows = [Fixture.row(40, vocabulary: 1200)]
    func run(_ limit: Double) throws(ExportError) {
      try place.run { path throws(ExportError) in
        _ = try GGUFExport(type: .q4_k_m, name: "demo").write(weights, to: path)
      } check: { path throws(ExportError) in
        let comparison = try ModelComparison(
          of: StreamedModel(try GGUFModel(path: path)), with: StreamedModel(BaseWeights(weights)),
          on: rows)
        try place.require(comparison, within: .init(divergence: limit, agreement: 0))
      } file: {
        .file($0)
      }
    }
    let error = #expect(throws: ExportError.self) { try run(1e-9) }
    #expect(error?.description.contains("--max_kl") == true)
    #expect(try FileSystem.readText(folder("m.gguf")) == "good")
    #expect(try FileSystem.list(folder.path).map(\.name) == ["m.gguf"])
    try run(10)
    #expect(try GGUFFile(path: folder("m.gguf")).tensors.count == weights.keys.count)
    #expect(try FileSystem.list(folder.path).count == 1)
  }

  @Test("numbers that half precision cannot hold, and those that are none, are refused by name")
  func tooLarge() throws {
    let (folder, path) = (try TestFolder(), Fixture.root + "/adapters/qwen3")
    try FileSystem.copyFolder(path + "/rslora/end", to: folder("a"))
    let text = try FileSystem.readText(folder("a/adapter_config.json"))
    for (alpha, problem) in [("1e9", "half precision"), ("1e300", "infinite or none")] {
      let changed = text.replacing("\"lora_alpha\": 6", with: "\"lora_alpha\": \(alpha)")
      try #require(changed != text)
      try AtomicFile.write(changed, to: folder("a/adapter_config.json"))
      let weights = try MergedWeights(folder: path, adapter: folder("a"))
      var merge = CheckpointMerge()
      merge.dtype = .float16
      let error = #expect(throws: ExportError.self) { try merge.write(weights, to: folder.path) }
      #expect(error?.description.contains(problem) == true, "\(error?.description ?? "")")
      #expect(error?.description.contains("_proj.weight") == true)
      #expect(FileSystem.kind(of: folder("model.safetensors")) == nil)
    }
  }

  @Test("a Modelfile renders as the model's own template does")
  func modelfile() {
    let text = Modelfile(
      from: "./m.gguf", adapter: nil, folder: Fixture.demo, stops: ["<|im_end|>"]
    ).text
    #expect(text.hasPrefix("FROM ./m.gguf\nTEMPLATE \"\"\""))
    #expect(text.contains("<|im_start|>user\n{{ $m.Content }}<|im_end|>\n"))
    #expect(text.contains("PARAMETER stop \"<|im_end|>\"\n"))
    let adapter = Modelfile(
      from: "/a b/model", adapter: "./a.gguf", folder: "/nowhere", stops: ["a\"b", "c"]
    ).text
    #expect(adapter == "FROM \"/a b/model\"\nADAPTER ./a.gguf\nPARAMETER stop \"c\"\n")
  }
}
