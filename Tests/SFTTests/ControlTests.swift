// Steering a run from callbacks, the losses of single rows, sources of rows, and streams whose readers go away.

import Autograd
import Files
import NN
import OrderedJSON
import QwenModel
import SFT
import Safetensors
import Tensor
import Testing

@Suite("Control of a run")
struct ControlTests {
  /// Keeps events, and asks what a test wants asked.
  final class Recorder: TrainingCallback {
    var events: [TrainingEvent] = []
    var ask: (TrainingEvent, TrainingControl) -> Void = { _, _ in }

    func handle(_ event: TrainingEvent, control: TrainingControl) {
      events.append(event)
      ask(event, control)
    }

    func steps(_ step: (TrainingEvent) -> Int?) -> [Int] { events.compactMap(step) }
  }

  /// A run of ten steps on the goldens' rows, the last two held out.
  static func trainer(
    _ output: String, dropout: Double = 0, _ configure: (inout TrainingConfig) -> Void = { _ in }
  ) throws -> (trainer: Trainer, recorder: Recorder, rows: [EncodedRow]) {
    let directory = TrainingParityTests.fixtures + "/tiny-qwen3"
    var (rows, config, _) = try TrainingParityTests().setUp("tiny-qwen3", output)
    config.saveStrategy = .no
    configure(&config)
    let model = try QwenModel.load(directory: directory)
    let adapter = try AdapterFile.load(directory + "/adapter", into: model, dropout: dropout)
    let recorder = Recorder()
    let training = Array(rows.dropLast(2))
    let trainer = try Trainer(
      model: model, rows: training, evaluationRows: rows.suffix(2), config: config,
      artifacts: RunArtifacts(modelDirectory: directory, adapter: adapter),
      callbacks: [recorder])
    rows = training
    return (trainer, recorder, rows)
  }

  @Test("a callback saves and evaluates after the step in which it asks")
  func requests() throws {
    try withTemporaryFolder { folder in
      let (trainer, recorder, _) = try Self.trainer(folder + "/out")
      recorder.ask = { event, control in
        guard case .step(let step) = event else { return }
        if step.step == 3 { control.save() }
        if step.step == 4 { control.evaluate() }
      }
      _ = try trainer.run()
      #expect(recorder.steps { if case .saved(_, let step) = $0 { step } else { nil } } == [3])
      #expect(
        recorder.steps { if case .evaluated(let entry) = $0 { entry.step } else { nil } } == [4])
      #expect(FileSystem.kind(of: folder + "/out/checkpoint-3") == .folder)
    }
  }

  @Test("a run that is to finish writes its result after the step")
  func finish() throws {
    try withTemporaryFolder { folder in
      let (trainer, recorder, _) = try Self.trainer(folder + "/out")
      recorder.ask = { event, control in
        if case .step(let step) = event, step.step == 4 { control.finish() }
      }
      #expect(try trainer.run().steps == 4)
      #expect(FileSystem.kind(of: folder + "/out/adapter_model.safetensors") == .file)
    }
  }

  @Test("a run that is to stop writes a checkpoint, and ends with the same bits when continued")
  func stop() throws {
    try withTemporaryFolder { folder in
      let whole = try Self.trainer(folder + "/whole", dropout: 0.1) { $0.saveStrategy = .steps }
      _ = try whole.trainer.run()
      let part = try Self.trainer(folder + "/part", dropout: 0.1) { $0.saveStrategy = .steps }
      part.recorder.ask = { event, control in
        if case .step(let step) = event, step.step == 6 { control.stop() }
      }
      let error = #expect(throws: TrainingError.self) { _ = try part.trainer.run() }
      guard case .interrupted(6, let checkpoint?) = error else {
        Issue.record("\(error?.description ?? "no error")")
        return
      }
      #expect(checkpoint == folder + "/part/checkpoint-6")
      let rest = try Self.trainer(folder + "/part", dropout: 0.1) { $0.saveStrategy = .steps }
      #expect(try rest.trainer.resumeFromNewestCheckpoint() == .resumed(from: checkpoint))
      _ = try rest.trainer.run()
      let name = "/adapter_model.safetensors"
      #expect(
        try FileSystem.readFile(folder + "/whole" + name)
          == FileSystem.readFile(folder + "/part" + name))
    }
  }

  @Test("the losses of rows are those of the step in which each was last trained on")
  func rowLosses() throws {
    try withTemporaryFolder { folder in
      // A rate of 0: the model stays as it is, so an evaluation of each row tells the same.
      let (trainer, recorder, rows) = try Self.trainer(folder + "/out") {
        ($0.learningRate, $0.packing, $0.maxSeqLength) = (0, true, 24)
      }
      _ = try trainer.run()
      let summary = try #require(
        recorder.events.compactMap { event -> RowLossSummary? in
          if case .rowLosses(let summary) = event { summary } else { nil }
        }.last)
      #expect(summary.rowCount == rows.count && summary.highest.count == rows.count)
      #expect(summary.highest.map(\.loss) == summary.highest.map(\.loss).sorted(by: >))
      #expect(
        summary.lowestTenth <= summary.median && summary.median <= summary.highestTenth
          && summary.highestTenth <= summary.highest[0].loss)
      let directory = TrainingParityTests.fixtures + "/tiny-qwen3"
      let model = try QwenModel.load(directory: directory)
      _ = try AdapterFile.load(directory + "/adapter", into: model, dropout: 0)
      for row in summary.highest {
        let expected = try Evaluator(model: model, on: .cpu).evaluate([rows[row.index]])
        #expect(abs(row.loss - expected.loss) < 1e-5 * expected.loss)
        #expect(
          row.line == rows[row.index].line && row.trainedTokenCount == expected.trainedTokenCount)
      }
    }
  }

  /// A run with parameters of the model, and of its adapters, set to 0 where `isZero` says so of a name.
  private static func run(_ output: String, zeroing isZero: (String) -> Bool)
    throws -> TrainingSummary
  {
    let directory = TrainingParityTests.fixtures + "/tiny-qwen3"
    let (rows, config, _) = try TrainingParityTests().setUp("tiny-qwen3", output)
    let model = try QwenModel.load(directory: directory)
    let adapter = try AdapterFile.load(directory + "/adapter", into: model)
    for (key, parameter) in model.namedParameters() where isZero(key) {
      parameter.value = Tensor.zeros(parameter.shape)
    }
    for (path, adapter) in model.namedAdapters() where isZero(path) {
      adapter.loraB.value = Tensor.zeros(adapter.loraB.shape)
    }
    let trainer = try Trainer(
      model: model, rows: rows, config: config,
      artifacts: RunArtifacts(modelDirectory: directory, adapter: adapter))
    return try trainer.run()
  }

  @Test("adapters that only begin to count once another one does are trained")
  func dormantBlock() throws {
    try withTemporaryFolder { folder in
      // As in a model to which blocks have been added: they end in maps of 0, behind which nothing has a gradient at first.
      let summary = try Self.run(folder + "/out") {
        $0.contains("layers.1.") && ($0.contains("o_proj") || $0.contains("down_proj"))
      }
      #expect(summary.steps > 1 && summary.trainLoss.isFinite)
      let key = "base_model.model.model.layers.1.self_attn.q_proj.lora_B.weight"
      let queries = try [folder + "/out", TrainingParityTests.fixtures + "/tiny-qwen3/adapter"].map
      {
        try Checkpoint(file: $0 + "/adapter_model.safetensors").tensor(key, dtype: .float32)
          .array(of: Float.self)
      }
      #expect(queries[0] != queries[1])
    }
  }

  @Test("queries and keys that a first step cannot reach do not stop a run", arguments: [2, 3])
  func secondTokens(_ length: Int) throws {
    try withTemporaryFolder { folder in
      var (_, config, _) = try TrainingParityTests().setUp("tiny-qwen3", folder + "/out")
      config.maxSteps = 1
      let directory = TrainingParityTests.fixtures + "/tiny-qwen3"
      let model = try QwenModel.load(directory: directory)
      let lora = LoRAConfig(rank: 2, alpha: 4, dropout: 0, targets: .names(["q_proj", "k_proj"]))
      let paths = try model.injectLoRA(lora)
      try model.initializeAdapters(lora.initialization, seed: 3)
      // A second token sees one key while the first is all there is before it: what it is asked with makes no difference.
      let recorder = Recorder()
      let rows = (0..<8).map { index in
        let ids = (0..<length).map { Int32(3 + index + 2 * $0) }
        return EncodedRow(
          inputIDs: ids, labels: ids.indices.map { $0 == length - 1 ? ids[$0] : -100 },
          file: "rows", line: index + 1)
      }
      let trainer = try Trainer(
        model: model, rows: rows, config: config,
        artifacts: RunArtifacts(
          modelDirectory: directory, adapter: AdapterConfig(lora, paths: paths, baseModel: nil)),
        callbacks: [recorder])
      #expect(try trainer.run().steps == 1)
      let norms = recorder.events.compactMap {
        if case .step(let step) = $0 { step.gradientNorm } else { nil }
      }
      #expect(norms.count == 1 && norms.allSatisfy { length == 2 ? $0 == 0 : $0 > 0 }, "\(norms)")
    }
  }

  @Test("a run whose adapters all get gradients of 0 in the first step is stopped")
  func zeroGradient() throws {
    try withTemporaryFolder { folder in
      let error = #expect(throws: TrainingError.self) {
        _ = try Self.run(folder + "/out") { $0 == "model.norm.weight" }
      }
      #expect(error?.description.contains("all adapters") == true, "\(error?.description ?? "")")
      #expect(FileSystem.kind(of: folder + "/out/adapter_model.safetensors") == nil)
    }
  }
}

@Suite("Sources of rows")
struct DataSourceTests {
  /// Conversations and encoded rows in turn.
  private struct Numbers: TrainingDataSource {
    let count: Int
    var index = 0

    mutating func next() throws -> TrainingItem? {
      guard index < count else { return nil }
      defer { index += 1 }
      if index.isMultiple(of: 3) {
        return .row(
          EncodedRow(
            inputIDs: [1, 2, Int32(index % 100)], labels: [-100, 2, Int32(index % 100)],
            file: "numbers", line: index + 1))
      }
      return .conversation(
        Conversation(
          messages: [
            ["role": "user", "content": .string("What comes after \(index)?")],
            ["role": "assistant", "content": .string("\(index + 1)")],
          ], file: "numbers", line: index + 1))
    }
  }

  @Test("rows of a source come in its order, conversations encoded as in a list")
  func order() throws {
    let encoder = try ConversationEncoder(folder: TrainingParityTests.fixtures + "/demo-model")
    var source = Numbers(count: 2500)
    let (rows, report) = try encoder.trainingRows(from: &source, maximumLength: 64)
    #expect(rows.count == 2500 && report.rowCount == 2500)
    #expect(rows.map(\.line) == Array(1...2500))
    var again = Numbers(count: 6)
    var conversations: [Conversation] = []
    while case .some(let item) = try again.next() {
      if case .conversation(let conversation) = item { conversations.append(conversation) }
    }
    let expected = try encoder.trainingRows(conversations).rows
    #expect([1, 2, 4, 5].map { rows[$0] } == expected)
    #expect(rows[3].inputIDs == [1, 2, 3])
  }

  @Test("a source's rows must train something, and its errors pass through")
  func errors() throws {
    struct Failing: TrainingDataSource {
      struct Gone: Error {}
      mutating func next() throws -> TrainingItem? { throw Gone() }
    }
    struct Untrained: TrainingDataSource {
      mutating func next() throws -> TrainingItem? {
        .row(EncodedRow(inputIDs: [1, 2], labels: [-100, -100], file: "u", line: 7))
      }
    }
    struct Empty: TrainingDataSource { mutating func next() throws -> TrainingItem? { nil } }
    let encoder = try ConversationEncoder(folder: TrainingParityTests.fixtures + "/demo-model")
    var (failing, untrained, empty) = (Failing(), Untrained(), Empty())
    #expect(throws: Failing.Gone.self) { try encoder.trainingRows(from: &failing) }
    #expect(throws: DataError.self) { try encoder.trainingRows(from: &empty) }
    var files = DataFileSource(paths: ["/nowhere.jsonl"])
    #expect(throws: DataError.self) { try encoder.trainingRows(from: &files) }
    #expect(throws: DataError.self) { _ = try encoder.trainingRows(from: &untrained) }
  }
}
