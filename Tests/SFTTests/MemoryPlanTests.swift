// The counted run against the real one, and what is chosen from the counts.

import Autograd
import Files
import NN
import OrderedJSON
import QwenModel
import SFT
import Safetensors
import Tensor
import TensorTestSupport
import Testing
import Tokenizer

/// A model that is large enough for its sizes to matter.
private enum Subject {
  static func model(
    quantized: Bool, bf16: Bool, vocabulary: Int = 3000, hidden: Int = 192, headDim: Int = 40,
    on device: Device = .cpu
  ) throws -> QwenModel {
    let json = """
      {"model_type": "qwen3", "vocab_size": \(vocabulary), "hidden_size": \(hidden), "intermediate_size": 520,
      "num_hidden_layers": 4, "num_attention_heads": 6, "num_key_value_heads": 2, "head_dim": \(headDim),
      "tie_word_embeddings": true}
      """
    let model = QwenModel(try QwenConfig(json: Array(json.utf8)))
    let dtype: DType = bf16 ? .bfloat16 : .float32
    for (index, (_, parameter)) in model.namedParameters().enumerated() {
      parameter.value = .normal(
        parameter.shape, standardDeviation: 0.05, dtype: dtype,
        stream: RandomStream(seed: 1, purpose: .test, index: index), on: device)
    }
    if quantized {
      for (_, linear) in model.model.namedLinears() {
        linear.quantize(to: QuantizedTensor(quantizing: linear.weight.value))
      }
      model.setTrainable(false)
      model.computeDType = dtype
    }
    try model.injectLoRA(LoRAConfig(rank: 4, dropout: 0.1))
    try model.initializeAdapters(seed: 1, on: device)
    return model
  }

  static func row(_ tokens: Int, trained: Int) -> EncodedRow {
    EncodedRow(
      inputIDs: (0..<tokens).map { Int32($0 % 3000) },
      labels: (0..<tokens).map { $0 < tokens - trained ? EncodedRow.ignoredLabel : Int32($0) },
      file: "rows", line: 1)
  }

  /// The most bytes in use while a second micro-batch goes through, beyond those in use before it.
  static func footprint(
    _ model: QwenModel, _ checkpointing: Checkpointing,
    rows: [EncodedRow] = [row(201, trained: 90), row(130, trained: 40)], on device: Device
  ) throws -> Int {
    var footprint = 0
    for _ in 0..<2 {
      guard let batch = TrainingBatch(rows, on: device) else { return 0 }
      let before = device.memory.liveByteCount
      device.resetPeakMemory()
      TrainingPass(
        model, batch, randomness: Randomness(seed: 1, pass: 0), checkpointing: checkpointing,
        scale: 1
      ).backward()
      footprint = device.memory.peakByteCount - before
    }
    return footprint
  }
}

@Suite("MemoryPlan")
struct MemoryPlanTests {
  private static let modes = [
    Checkpointing.off, .full, Checkpointing(wholeBlockCount: 2),
    Checkpointing(wholeBlockCount: 1, keepsHalves: true),
    Checkpointing(wholeBlockCount: 1, productBlockCount: 2),
  ]

  @Test(
    "a model without numbers takes the bytes of the real one",
    arguments: [(false, false), (true, false), (false, true)])
  func counts(quantized: Bool, bf16: Bool) async throws {
    // Each in a process of its own: there is one pool, and other tests use it.
    if quantized {
      await #expect(processExitsWith: .success) {
        try MemoryPlanTests.compare(quantized: true, bf16: false)
      }
    } else if bf16 {
      await #expect(processExitsWith: .success) {
        try MemoryPlanTests.compare(quantized: false, bf16: true)
      }
    } else {
      await #expect(processExitsWith: .success) {
        try MemoryPlanTests.compare(quantized: false, bf16: false)
      }
    }
  }

  @Test("products that are widened piece by piece take the bytes that are counted")
  func pieces() async {
    await #expect(processExitsWith: .success) {
      let model = try Subject.model(
        quantized: false, bf16: true, vocabulary: 60_000, hidden: 64)
      let rows = [Subject.row(700, trained: 650)]
      let sizing = SizingBackend()
      let counted = try Subject.footprint(
        model.outline(on: sizing), .full, rows: rows, on: sizing.device)
      let real = try Subject.footprint(model, .full, rows: rows, on: .cpu)
      let ratio = Double(counted) / Double(real)
      precondition((0.97...1.03).contains(ratio), "counted \(counted), real \(real)")
    }
  }

  fileprivate static func compare(quantized: Bool, bf16: Bool) throws {
    let model = try Subject.model(quantized: quantized, bf16: bf16)
    for mode in modes {
      let sizing = SizingBackend()
      let counted = try Subject.footprint(model.outline(on: sizing), mode, on: sizing.device)
      let real = try Subject.footprint(model, mode, on: .cpu)
      let ratio = Double(counted) / Double(real)
      precondition((0.97...1.03).contains(ratio), "\(mode): counted \(counted), real \(real)")
    }
  }

  @Test("a GPU takes no more than is counted", arguments: [false, true])
  func graphicsMemory(quantized: Bool) throws {
    let device = try TestDevices.named("emulated")[0]
    let model = try Subject.model(quantized: quantized, bf16: true, headDim: 64, on: device)
    let rows = [Subject.row(150, trained: 60)]
    for mode in Self.modes {
      let sizing = SizingBackend()
      let counted = try Subject.footprint(
        model.outline(on: sizing), mode, rows: rows, on: sizing.device)
      let real = try Subject.footprint(model, mode, rows: rows, on: device)
      #expect(real <= counted && counted < 5 * real / 2, "\(mode)")
    }
    #expect((device.freeByteCount ?? 0) > 0 && Device.cpu.freeByteCount == nil)
  }

  @Test("more memory keeps more blocks, and what is chosen fits")
  func choice() throws {
    let model = try Subject.model(quantized: false, bf16: false)
    let size = BatchSize(tokens: 320, trained: 160)
    let sizes = ActivationPlanner(model, budget: nil)
    let (least, most) = (sizes.footprint(of: size, .full), sizes.footprint(of: size, .off))
    #expect(least < most)
    var last = 0.0
    for share in [0.0, 0.2, 0.4, 0.6, 0.8, 1.0] {
      let budget = least + Int(share * Double(most - least))
      let choice = ActivationPlanner(model, budget: budget).checkpointing(for: size)
      #expect(sizes.footprint(of: size, choice) <= budget)
      let whole = min(4, choice.wholeBlockCount)
      let rest = 4 - whole - choice.productBlockCount
      let kept =
        Double(whole) + 0.87 * Double(choice.productBlockCount)
        + (choice.keepsHalves ? 0.2 * Double(rest) : 0)
      #expect(kept >= last)
      last = kept
    }
    #expect(last >= 4)
    // Full checkpointing keeps what raises no peak.
    let full = sizes.checkpointing(for: size)
    #expect(sizes.footprint(of: size, full) <= least)
    // Short micro-batches keep more under the same budget.
    let tight = ActivationPlanner(model, budget: least + (most - least) / 3)
    func count(_ choice: Checkpointing) -> Int {
      choice.wholeBlockCount == .max ? 5 : choice.wholeBlockCount + choice.productBlockCount
    }
    #expect(
      count(tight.checkpointing(for: BatchSize(tokens: 40, trained: 20)))
        > count(tight.checkpointing(for: size)))
  }

  @Test("a buffer's pages count from the first byte written to them")
  func residency() {
    let sizing = SizingBackend()
    let small = Tensor.zeros([1000], on: sizing.device)
    #expect(sizing.residentByteCount == 4000)
    var large: Tensor? = Tensor.zeros([(4 << 20) + 100], on: sizing.device)
    // Of 18 MiB 16 MiB and 400 bytes are written, in pages of 2 MiB.
    #expect(sizing.residentByteCount == 4000 + (18 << 20))
    let peak = sizing.peakResidentByteCount
    large = nil
    _ = large
    #expect(sizing.residentByteCount == peak, "what waits is resident")
    sizing.limitMemory(to: 1 << 20)
    #expect(sizing.residentByteCount == 4000)
    withExtendedLifetime(small) {}
  }

  @Test(
    "what is counted for an adapter from a decomposition is counted without decomposing anything")
  func decomposition() throws {
    try withTemporaryFolder { folder in
      let source = TrainingParityTests.fixtures + "/tiny-qwen3"
      for name in ["adapter_config.json", "adapter_model.safetensors"] {
        try FileSystem.copyFile(source + "/adapter/" + name, to: folder + "/" + name)
      }
      let path = folder + "/adapter_config.json"
      var settings = try #require(try JSON.parse(FileSystem.readFile(path)).objectValue)
      settings["init_lora_weights"] = "pissa"
      try AtomicFile.write(JSON.object(settings).serialized(), to: path)
      let sizing = SizingBackend()
      var options = WeightOptions()
      options.isRehearsal = true
      let model = try QwenModel.load(directory: source, options: options, on: sizing.device)
      let before = sizing.memory.liveByteCount
      _ = try AdapterFile.load(folder, into: model, on: sizing.device, isRehearsal: true)
      let adapters = model.namedAdapters()
      let count = adapters.reduce(0) {
        $0 + $1.adapter.loraA.value.byteCount + $1.adapter.loraB.value.byteCount
      }
      // The adapter and its first factors.
      #expect(!adapters.isEmpty && sizing.memory.liveByteCount - before >= 2 * count)
      #expect(adapters.allSatisfy { $0.adapter.initialFactors != nil })
    }
  }

  @Test("the parts add up to the peak, and a budget below the least says what that is")
  func parts() throws {
    let fixtures = TrainingParityTests.fixtures
    var weights = WeightOptions()
    weights.placement = .owned
    var config = TrainingConfig(outputDir: "")
    let rows = [Subject.row(60, trained: 20), Subject.row(100, trained: 50)].map {
      EncodedRow(
        inputIDs: $0.inputIDs.map { $0 % 64 },
        labels: $0.labels.map { $0 == EncodedRow.ignoredLabel ? $0 : $0 % 64 }, file: "rows",
        line: 1)
    }
    func plan() throws -> MemoryPlan {
      try MemoryPlan(
        RunOutline(
          modelDirectory: fixtures + "/tiny-qwen3", weights: weights, config: config, rows: rows),
        programByteCount: 50 << 20)
    }
    let off = try plan()
    #expect(off.parts.allSatisfy { $0.byteCount > 0 })
    #expect(off.peakByteCount == off.parts.reduce(0) { $0 + $1.byteCount })
    #expect(off[.program] == 50 << 20 && off[.optimizer] >= 8 * off.trainedParameterCount)
    #expect(off[.gradients] >= 4 * off.trainedParameterCount)
    #expect(off.largestTokens == 100 && off.largestTrained == 50)
    config.gradientCheckpointing = .full
    #expect(try plan()[.activations] < off[.activations])
    config.gradientCheckpointing = .auto(memoryBudget: 1 << 30)
    #expect(try plan().checkpointing == .off)
    config.gradientCheckpointing = .auto(memoryBudget: 1 << 20)
    let error = #expect(throws: TrainingError.self) { _ = try plan() }
    #expect(error?.description.contains("memory_budget is 1MB, expected at least") == true)
    config.gradientCheckpointing = .off
    config.lora = nil
    let full = try plan()
    #expect(full[.optimizer] >= 8 * full.parameterCount && full[.saving] > 0)
  }

  @Test("the keys and values of sampled answers count where training takes less")
  func sampledAnswers() throws {
    let folder = TrainingParityTests.fixtures + "/demo-model"
    let encoder = try ConversationEncoder(folder: folder)
    let text = String(repeating: "How far is it to the harbour? ", count: 40)
    let sampler = try AnswerSampler(
      [Conversation(messages: [["role": "user", "content": .string(text)]])], encoder: encoder,
      stopIDs: [], maxNewTokens: 64)
    var weights = WeightOptions()
    weights.placement = .owned
    func peak(_ sampler: AnswerSampler?) throws -> Int {
      try MemoryPlan(
        RunOutline(
          modelDirectory: folder, weights: weights, config: TrainingConfig(outputDir: ""),
          rows: [Subject.row(4, trained: 2)], sampler: sampler), programByteCount: 50 << 20
      ).peakByteCount
    }
    let config = try QwenConfig(directory: folder)
    let tokens = encoder.tokenizer.encode(utf8: Array(text.utf8)).count + 64
    let cached = 2 * 4 * config.numHiddenLayers * tokens * config.numKeyValueHeads * config.headDim
    #expect(try peak(sampler) >= peak(nil) + cached / 2)
  }
}
