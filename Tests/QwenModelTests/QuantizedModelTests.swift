// Models in 4 bits: quantized now, from a checkpoint, from the cache; each must compute the same.

import Autograd
import Files
import NN
import OrderedJSON
import QwenModel
import Safetensors
import Tensor
import Testing

@Suite("Quantized models")
struct QuantizedModelTests {
  /// A folder that goes with the value.
  final class Folder {
    let path = FileSystem.join("/tmp", FileSystem.temporaryName(prefix: "qwen-sft-test-"))
    init() throws { try FileSystem.makeFolder(path) }
    deinit { try? FileSystem.remove(path) }
    func callAsFunction(_ name: String) -> String { FileSystem.join(path, name) }
  }

  func options(_ format: QuantizedTensor.Format = .init(), cache: String? = nil) -> WeightOptions {
    var options = WeightOptions()
    options.quantization = format
    options.cache = cache.map { WeightsCache(folder: $0) }
    options.notice = { Issue.record("\($0)") }
    return options
  }

  /// The hidden states of a few tokens.
  func hidden(_ model: QwenModel) throws -> [Double] {
    try model.hidden(TokenBatch([[1, 2, 3, 4, 5], [6, 7]]), on: Tape(mode: .inference)).value
      .doubles()
  }

  @Test(
    "a model in 4 bits computes what the same model with dequantized weights does",
    arguments: Goldens.all, [true, false])
  func sameAsDense(_ goldens: Goldens, isDoubleQuantized: Bool) throws {
    let format = QuantizedTensor.Format(isDoubleQuantized: isDoubleQuantized)
    let quantized = try QwenModel.load(directory: goldens.directory, options: options(format))
    #expect(quantized.isQuantized)
    let dense = try QwenModel.load(directory: goldens.directory)
    let original = try hidden(dense)
    for ((path, map), (_, plain)) in zip(quantized.namedLinears(), dense.namedLinears())
    where path != "lm_head" {
      plain.weight.value = try #require(map.quantizedWeight, "\(path)").dequantized()
    }
    let (ours, expected) = (try hidden(quantized), try hidden(dense))
    let scale = expected.reduce(0) { max($0, $1.magnitude) }
    for (a, b) in zip(ours, expected) { #expect((a - b).magnitude < 2e-6 * scale) }
    #expect(ours != original)
    // Head and embedding stay in the 16 bits of a bfloat16 checkpoint; nothing of the base is trained.
    let stored = try Checkpoint(folder: goldens.directory).dtype(of: "model.embed_tokens.weight")
    #expect(
      quantized.model.embedTokens.weight.value.dtype == (stored == .bf16 ? .bfloat16 : .float32))
    #expect(quantized.trainableParameters().isEmpty)
    #expect(quantized.namedParameters().allSatisfy { $0.parameter.isMaterialized })

    // Weight-decomposed adapters measure the rows of the weight, whatever it is kept in.
    var dora = LoRAConfig(rank: 2, dropout: 0)
    dora.useDoRA = true
    for model in [quantized, dense] {
      try model.injectLoRA(dora)
      try model.initializeAdapters(seed: 1)
      for (index, (_, adapter)) in model.namedAdapters().enumerated() {
        adapter.loraB.value = Tensor.normal(
          adapter.loraB.shape, standardDeviation: 0.1,
          stream: RandomStream(seed: 2, purpose: .test, index: index))
      }
    }
    let (adapted, expectedAdapted) = (try hidden(quantized), try hidden(dense))
    for (a, b) in zip(adapted, expectedAdapted) { #expect((a - b).magnitude < 5e-6 * scale) }
    #expect(adapted != ours)
    #expect(throws: LoRAError.self) { try quantized.initializeAdapters(.olora, seed: 1) }
  }

  @Test("embedding and head of a float16 checkpoint stay so, and compute what float32 does")
  func halfPrecision() throws {
    let folder = try Folder()
    let directory = try #require(Goldens.all.first { $0.directory.hasSuffix("tiny-qwen2") })
      .directory
    let checkpoint = try Checkpoint(folder: directory)
    for (name, isHalf) in [("half", true), ("single", false)] {
      try FileSystem.makeFolder(folder(name))
      try FileSystem.copyFile(directory + "/config.json", to: folder(name) + "/config.json")
      let tensors = try checkpoint.keys.map { key in
        let halves = try checkpoint.floats(of: key).map {
          Half(bitPattern: Float16($0).bitPattern)
        }
        let shape = Shape(try checkpoint.shape(of: key))
        return (
          key,
          isHalf
            ? Tensor(halves, shape: shape) : Tensor(halves.map(\.float), shape: shape)
        )
      }
      try SafetensorsWriter.write(tensors, to: folder(name) + "/" + Checkpoint.fileName)
    }
    let half = try QwenModel.load(directory: folder("half"), options: options())
    let single = try QwenModel.load(directory: folder("single"), options: options())
    #expect(half.model.embedTokens.weight.value.dtype == .float16)
    #expect(half.headWeight.value.dtype == .float16 && half.headWeight.value.count > 0)
    #expect(half.model.norm.weight.value.dtype == .float32)
    #expect(try hidden(half) == hidden(single))
    func logits(_ model: QwenModel) throws -> [Double] {
      let tape = Tape(mode: .inference)
      let batch = TokenBatch([[1, 2, 3, 4, 5], [6, 7]])
      return try model.logits(model.hidden(batch, on: tape)).value.doubles()
    }
    for (a, b) in zip(try logits(half), try logits(single)) { #expect((a - b).magnitude < 1e-5) }
  }

  @Test("an exported model loads by itself, and computes the same", arguments: Goldens.all)
  func exported(_ goldens: Goldens) throws {
    let folder = try Folder()
    var export = NF4Export()
    export.format = .init(blockSize: 32, isDoubleQuantized: true)
    let summary = try export.write(
      goldens.directory, to: folder("out"), companions: ["generation_config.json", "missing.json"])
    let model = try QwenModel.load(directory: folder("out"))
    #expect(model.isQuantized && model.config.isQuantized)
    #expect(summary.quantizedCount == 7 * model.config.numHiddenLayers)
    #expect(FileSystem.kind(of: folder("out/generation_config.json")) == .file)
    let direct = try QwenModel.load(directory: goldens.directory, options: options(export.format))
    #expect(try hidden(model) == hidden(direct))
    #expect(throws: ModelError.self) {
      try export.write(folder("out"), to: folder("again"), companions: [])
    }
    #expect(throws: ModelError.self) {
      try export.write(goldens.directory, to: goldens.directory + "/.", companions: [])
    }
  }

  @Test("the second start takes the weights from the cache; a damaged entry is made again")
  func cache() throws {
    let folder = try Folder()
    let source = folder("model")
    try FileSystem.copyFolder(Goldens.all[3].directory, to: source)
    let first = try QwenModel.load(directory: source, options: options(cache: folder("cache")))
    let expected = try hidden(first)
    let entry = try #require(try FileSystem.list(folder("cache")).first?.name)
    let path = folder("cache/" + entry)
    let bytes = try FileSystem.readFile(path)

    let second = try QwenModel.load(directory: source, options: options(cache: folder("cache")))
    #expect(try hidden(second) == expected)
    #expect(try FileSystem.readFile(path) == bytes)
    #expect(try FileSystem.list(folder("cache")).count == 1)
    // Other settings have an entry of their own.
    _ = try QwenModel.load(
      directory: source, options: options(.init(isDoubleQuantized: false), cache: folder("cache")))
    #expect(try FileSystem.list(folder("cache")).count == 2)

    var flipped = bytes
    flipped[bytes.count / 2] ^= 1
    for damaged in [flipped, Array(bytes.dropLast(9)), [], Array(bytes.prefix(8))] {
      try AtomicFile.write(damaged, to: path)
      let notices = Notices()
      var options = options(cache: folder("cache"))
      options.notice = { notices.add($0) }
      #expect(try hidden(QwenModel.load(directory: source, options: options)) == expected)
      #expect(notices.all.count == 1)
      #expect(notices.all.first?.contains(entry) == true)
      #expect(try FileSystem.readFile(path) == bytes)
    }
  }

  @Test("an entry belongs to the files as they were")
  func cacheKey() throws {
    let folder = try Folder()
    let source = folder("model")
    try FileSystem.copyFolder(Goldens.all[2].directory, to: source)
    let cache = WeightsCache(folder: folder("cache"))
    func path(_ format: QuantizedTensor.Format = .init()) throws -> String {
      cache.entry(for: try Checkpoint(folder: source), format: format).path
    }
    let before = try path()
    #expect(try path() == before)
    #expect(try path(.init(blockSize: 128)) != before)
    // Written again: the same bytes at another time.
    let file = source + "/model.safetensors"
    try AtomicFile.write(try FileSystem.readFile(file), to: file)
    #expect(try path() != before)
  }

  @Test("a cache that cannot be written is a notice, not an error")
  func unwritableCache() throws {
    let folder = try Folder()
    try AtomicFile.write("x", to: folder("file"))
    let notices = Notices()
    var options = options(cache: folder("file/cache"))
    options.notice = { notices.add($0) }
    _ = try hidden(QwenModel.load(directory: Goldens.all[0].directory, options: options))
    #expect(notices.all.count == 1)
  }

  @Test(
    "other quantizations are refused",
    arguments: [
      #"{"quant_method": "gptq", "bits": 4}"#, #"{"quant_method": "bitsandbytes"}"#,
      #"{"quant_method": "bitsandbytes", "load_in_8bit": true}"#,
      #"{"quant_method": "bitsandbytes", "load_in_4bit": true}"#,
      #"{"quant_method": "bitsandbytes", "load_in_4bit": true, "bnb_4bit_quant_type": "fp4"}"#,
      #"{"load_in_4bit": 1}"#, "[]",
    ])
  func otherMethods(_ settings: String) throws {
    let path = FileSystem.join(Goldens.all[0].directory, "config.json")
    var config = try #require(try JSON.parse(FileSystem.readFile(path)).objectValue)
    config["quantization_config"] = try JSON.parse(settings)
    #expect(throws: ModelError.self) {
      try QwenConfig(json: JSON.object(config).serializedBytes())
    }
  }

  @Test("checkpointing and a plain pass give the same gradients")
  func gradients() throws {
    func gradients(_ checkpointing: Checkpointing) throws -> [[Double]] {
      let model = try QwenModel.load(directory: Goldens.all[3].directory, options: options())
      try model.injectLoRA(LoRAConfig(rank: 2, dropout: 0.2))
      for (_, adapter) in model.namedAdapters() { adapter.initialize(seed: 1, on: .cpu) }
      let tape = Tape(randomness: Randomness(seed: 1, pass: 0))
      let hidden = model.hidden(
        TokenBatch([[1, 2, 3, 4], [5, 6]]), on: tape, checkpointing: checkpointing)
      let (loss, _) = linearCrossEntropy(
        hidden: hidden, weight: tape.leaf(model.headWeight), rows: Tensor([Int32(0), 2, 4]),
        targets: Tensor([Int32(2), 4, 6]), scale: 1 / 3)
      tape.backward(from: loss)
      return try model.trainableParameters().map { try $0.parameter.gradient?.doubles() ?? [] }
    }
    let plain = try gradients(.off)
    #expect(!plain.isEmpty && plain.contains { $0.contains { $0 != 0 } })
    #expect(try gradients(.full) == plain)
    #expect(try gradients(Checkpointing(wholeBlockCount: 1, keepsHalves: true)) == plain)
  }
}

/// Notices from a closure that may run anywhere.
final class Notices: @unchecked Sendable {
  // Safety: the tests load models on one thread.
  private(set) var all: [String] = []
  func add(_ text: String) { all.append(text) }
}
