// Matrices that stay in bfloat16 while the arithmetic is float32.

import Autograd
import Files
import NN
import OrderedJSON
import QwenModel
import Safetensors
import Synchronization
import Tensor
import Testing

@Suite("Weights kept in 16 bits")
struct KeptWeightsTests {
  private let directory = Goldens.fixtures + "/tiny-qwen3-bf16"

  private func model(keepsBFloat16: Bool) throws -> QwenModel {
    var options = WeightOptions()
    options.keepsBFloat16 = keepsBFloat16
    return try QwenModel.load(directory: directory, options: options)
  }

  private func logits(_ model: QwenModel) throws -> [Double] {
    let tape = Tape(mode: .inference)
    let batch = TokenBatch([[3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5], [8, 9, 7]])
    return try model.logits(model.hidden(batch, on: tape)).value.doubles()
  }

  @Test("matrices take half the memory, vectors and results are float32")
  func types() throws {
    let model = try model(keepsBFloat16: true)
    for (key, parameter) in model.namedParameters() {
      #expect(parameter.value.dtype == (parameter.shape.rank == 2 ? .bfloat16 : .float32), "\(key)")
      #expect(!parameter.isTrainable)
    }
    let tape = Tape(mode: .inference)
    #expect(model.hidden(TokenBatch([[1, 2]]), on: tape).value.dtype == .float32)
    let plain = try self.model(keepsBFloat16: false)
    #expect(plain.namedParameters().allSatisfy { $0.parameter.value.dtype == .float32 })
  }

  @Test("the logits are those of widened weights")
  func values() throws {
    let (kept, plain) = try (
      logits(model(keepsBFloat16: true)), logits(model(keepsBFloat16: false))
    )
    let scale = plain.reduce(0) { max($0, $1.magnitude) }
    for (a, b) in zip(kept, plain) { #expect((a - b).magnitude < 2e-6 * scale) }
  }

  @Test(
    "a weight that an adapter is taken out of is not rounded",
    arguments: [LoRAInitialization.pissa(iterations: nil), .olora])
  func initialization(_ initialization: LoRAInitialization) throws {
    let before = try logits(model(keepsBFloat16: false))
    let kept = try model(keepsBFloat16: true)
    try kept.injectLoRA(LoRAConfig(rank: 4, alpha: 8, dropout: 0))
    try kept.initializeAdapters(initialization, seed: 1)
    for (path, linear) in kept.namedLinears() where linear.adapter != nil {
      #expect(linear.weight.value.dtype == .float32, "\(path)")
    }
    let scale = before.reduce(0) { max($0, $1.magnitude) }
    for (a, b) in zip(try logits(kept), before) { #expect((a - b).magnitude < 1e-5 * scale) }
  }
}

@Suite("A head beside a tied embedding")
struct TiedHeadTests {
  private func logits(_ model: QwenModel) throws -> [Double] {
    let batch = TokenBatch([[3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5]])
    return try model.logits(model.hidden(batch, on: Tape(mode: .inference))).value.doubles()
  }

  /// The tied tiny model with `head` times its embedding as a head beside it.
  private func model(head factor: Double, notices: @escaping @Sendable (String) -> Void) throws
    -> QwenModel
  {
    let source = Goldens.fixtures + "/tiny-qwen2-tied"
    let folder = FileSystem.join("/tmp", FileSystem.temporaryName(prefix: "qwen-sft-test-"))
    try FileSystem.makeFolder(folder)
    defer { try? FileSystem.remove(folder) }
    try FileSystem.copyIfPresent(
      FileSystem.join(source, "config.json"), to: FileSystem.join(folder, "config.json"))
    let checkpoint = try Checkpoint(folder: source)
    var tensors = try checkpoint.keys.map { key in
      (key: key, tensor: try checkpoint.tensor(key, dtype: .float32))
    }
    let embedding = try checkpoint.tensor("model.embed_tokens.weight", dtype: .float32)
    tensors.append((key: "lm_head.weight", tensor: embedding.scaled(by: factor)))
    try SafetensorsWriter.write(tensors, to: FileSystem.join(folder, Checkpoint.fileName))
    var options = WeightOptions()
    options.placement = .owned
    options.notice = notices
    return try QwenModel.load(directory: folder, options: options)
  }

  @Test("one that is the same is the embedding; another is used, and said, as by transformers")
  func heads() throws {
    let plain = try QwenModel.load(directory: Goldens.fixtures + "/tiny-qwen2-tied")
    let expected = try logits(plain)
    let same = try model(head: 1) { Issue.record("\($0)") }
    #expect(same.lmHead == nil)
    #expect(try logits(same) == expected)
    let notices = Mutex<[String]>([])
    let other = try model(head: 2) { text in notices.withLock { $0.append(text) } }
    #expect(other.lmHead != nil && !other.config.tieWordEmbeddings)
    #expect(try logits(other) == expected.map { 2 * $0 })
    #expect(notices.withLock { $0.count == 1 && $0[0].contains("lm_head") })
    // What is written of it says so to those who go by the flag.
    for (model, isStated) in [(same, false), (other, true)] {
      var fields = JSONObject([("tie_word_embeddings", .bool(true)), ("vocab_size", .integer(3))])
      #expect(model.config.stateTie(in: &fields) == isStated)
      #expect(fields["tie_word_embeddings"]?.boolValue == !isStated)
    }
  }
}
