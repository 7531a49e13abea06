// Evaluation, early stopping and the best checkpoint in training, and that none of it disturbs resuming.

import Files
import NN
import OrderedJSON
import QwenModel
import SFT
import Tensor
import Testing

@Suite("Evaluation in training")
struct EvaluationTests {
  private struct Outcome {
    var events: [TrainingEvent] = []
    var weights: [UInt8] = []
    var state: JSON = .null
    var output = ""

    var evaluations: [LogEntry] {
      events.compactMap { if case .evaluated(let entry) = $0 { entry } else { nil } }
    }
  }

  /// A run on the goldens' rows, the last two held out, that is stopped once `stop` says so.
  private func run(
    _ output: String, name: String = "tiny-qwen3", resume: Bool = false,
    configure: (inout TrainingConfig) -> Void = { _ in },
    stop: @escaping (TrainingEvent) -> Bool = { _ in false }
  ) throws -> Outcome {
    let directory = TrainingParityTests.fixtures + "/" + name
    var (rows, config, _) = try TrainingParityTests().setUp(name, output)
    config.evalStrategy = .steps
    config.evalSteps = 2
    config.saveSteps = 2
    config.shuffle = true
    configure(&config)
    let model = try QwenModel.load(directory: directory)
    let lora = LoRAConfig(rank: 4, alpha: 8, dropout: 0.2)
    let paths = try model.injectLoRA(lora)
    for (_, adapter) in model.namedAdapters() { adapter.initialize(seed: 1, on: .cpu) }
    var outcome = Outcome()
    var isStopped = false
    let trainer = try Trainer(
      model: model, rows: Array(rows.dropLast(2)), evaluationRows: rows.suffix(2), config: config,
      artifacts: RunArtifacts(
        modelDirectory: directory, adapter: AdapterConfig(lora, paths: paths, baseModel: nil)),
      shouldStop: { isStopped },
      observe: { event in
        outcome.events.append(event)
        if stop(event) { isStopped = true }
      })
    if resume { _ = try trainer.resumeFromNewestCheckpoint() }
    do { _ = try trainer.run() } catch {
      guard case .interrupted = error else { throw error }
      return outcome
    }
    outcome.weights = try FileSystem.readFile(output + "/adapter_model.safetensors")
    outcome.state = try JSON.parse(FileSystem.readFile(output + "/trainer_state.json"))
    outcome.output = output
    return outcome
  }

  @Test("evaluations come every so many steps and at the end, with the evaluator's figures")
  func entries() throws {
    try withTemporaryFolder { folder in
      let outcome = try run(folder + "/out") { $0.evalSteps = 4 }
      #expect(outcome.evaluations.map(\.step) == [4, 8, 10])
      let log = try #require(outcome.state["log_history"]?.arrayValue)
      let last = try #require(log.last { $0["eval_loss"] != nil })
      #expect(
        last.objectValue?.keys == [
          "eval_loss", "eval_perplexity", "eval_mean_token_accuracy", "eval_trained_tokens",
          "epoch", "step",
        ])
      // The same figures as of the adapter that was written.
      let model = try QwenModel.load(directory: TrainingParityTests.fixtures + "/tiny-qwen3")
      _ = try AdapterFile.load(folder + "/out", into: model, dropout: 0)
      let (rows, _, _) = try TrainingParityTests().setUp("tiny-qwen3", "")
      let again = try Evaluator(model: model, on: .cpu).evaluate(rows.suffix(2))
      #expect(last["eval_loss"]?.doubleValue == again.loss)
      let best = try #require(outcome.evaluations.min { $0["eval_loss"]! < $1["eval_loss"]! })
      #expect(outcome.state["best_metric"]?.doubleValue == best["eval_loss"])
      #expect(outcome.state["best_global_step"]?.integerValue == best.step)
    }
  }

  @Test("by epochs it evaluates at the end of each and of the run")
  func epochs() throws {
    try withTemporaryFolder { folder in
      // Four rows, two a step: two steps an epoch.
      let outcome = try run(folder + "/out") {
        ($0.evalStrategy, $0.maxSteps) = (.epoch, 5)
      }
      #expect(outcome.evaluations.map(\.step) == [2, 4, 5])
      #expect(outcome.state["eval_steps"]?.isNull == true)
    }
  }

  @Test("patience ends a run as transformers does, and the best checkpoint is kept and loaded")
  func patience() throws {
    try withTemporaryFolder { folder in
      // A rate that overshoots: the loss of the held-out rows goes up again.
      let outcome = try run(folder + "/out") {
        $0.maxSteps = 60
        $0.learningRate = 0.05
        $0.earlyStoppingPatience = 2
        $0.loadBestModelAtEnd = true
        $0.saveTotalLimit = 1
      }
      let losses = outcome.evaluations.map { ($0.step, $0["eval_loss"] ?? .nan) }
      // transformers: a counter of evaluations that are not below the best before them.
      var (best, counter, expected) = ((step: 0, loss: Double.infinity), 0, 60)
      for (step, loss) in losses {
        counter = loss < best.loss ? 0 : counter + 1
        if loss < best.loss { best = (step, loss) }
        if counter >= 2 {
          expected = step
          break
        }
      }
      #expect(expected < 60 && losses.last?.0 == expected)
      #expect(outcome.state["global_step"]?.integerValue == expected)
      #expect(outcome.state["best_global_step"]?.integerValue == best.step)
      let path = folder + "/out/checkpoint-\(best.step)"
      #expect(outcome.state["best_model_checkpoint"]?.stringValue == path)
      #expect(try FileSystem.readFile(path + "/adapter_model.safetensors") == outcome.weights)
      let counterInFile = outcome.state["stateful_callbacks"]?["EarlyStoppingCallback"]?[
        "attributes"]?["early_stopping_patience_counter"]
      #expect(counterInFile?.integerValue == 2)
      let folders = try FileSystem.list(folder + "/out").map(\.name).filter {
        $0.hasPrefix("checkpoint-")
      }
      #expect(Set(folders) == ["checkpoint-\(best.step)", "checkpoint-\(expected)"])
    }
  }

  @Test(
    "stopped anywhere, in an evaluation too, a run with evaluation ends with the same bits",
    arguments: ["tiny-qwen2", "tiny-qwen3"], [false, true])
  func resume(_ name: String, packing: Bool) throws {
    try withTemporaryFolder { folder in
      let settings: (inout TrainingConfig) -> Void = {
        $0.packing = packing
        $0.maxSeqLength = 24
        $0.loadBestModelAtEnd = true
        $0.earlyStoppingPatience = 4
      }
      let whole = try run(folder + "/whole", name: name, configure: settings)
      for (index, stop)
        in ([
          { if case .step(let record) = $0 { record.step == 4 } else { false } },
          { if case .logged(let entry) = $0 { entry.step == 5 } else { false } },
          { if case .evaluated(let entry) = $0 { entry.step == 6 } else { false } },
          { if case .saved(_, let step) = $0 { step == 8 } else { false } },
        ] as [(TrainingEvent) -> Bool]).enumerated()
      {
        let output = folder + "/parts\(index)"
        let part = try run(output, name: name, configure: settings, stop: stop)
        #expect(part.weights.isEmpty)
        let rest = try run(output, name: name, resume: true, configure: settings)
        #expect(rest.weights == whole.weights)
        let keys = ["step", "loss", "grad_norm", "eval_loss"]
        func figures(_ outcome: Outcome) -> [[JSON?]] {
          (outcome.state["log_history"]?.arrayValue ?? []).map { entry in keys.map { entry[$0] } }
        }
        #expect(figures(rest) == figures(whole))
        #expect(rest.state["best_metric"] == whole.state["best_metric"])
      }
    }
  }

  static let changes: [(String, @Sendable (inout TrainingConfig) -> Void)] = [
    ("learning_rate", { $0.learningRate = 0.5 }), ("seed", { $0.seed = 43 }),
    ("warmup_steps", { $0.warmupSteps = 3 }), ("packing", { $0.packing = true }),
    ("gradient_accumulation_steps", { $0.gradientAccumulationSteps = 1 }),
    ("lr_scheduler_kwargs", { $0.lrSchedulerKwargs.numCycles = 1 }),
    ("max_grad_norm", { $0.maxGradNorm = 2 }), ("shuffle", { $0.shuffle = false }),
  ]

  @Test("a setting that must not change is named with both values", arguments: changes)
  func changed(_ name: String, _ change: @escaping @Sendable (inout TrainingConfig) -> Void) throws
  {
    try withTemporaryFolder { folder in
      let output = folder + "/out"
      let cosine = { @Sendable (config: inout TrainingConfig) in config.lrSchedulerType = .cosine }
      _ = try run(
        output, configure: cosine, stop: { if case .saved(_, 4) = $0 { true } else { false } })
      do {
        _ = try run(output, resume: true) {
          cosine(&$0)
          change(&$0)
        }
        Issue.record("the run should have been refused")
      } catch let error as TrainingError {
        guard case .settingChanged(_, let found, let saved, let current) = error else {
          Issue.record("\(error.description)")
          return
        }
        #expect(found == name)
        #expect(
          saved != current && error.description.contains("was \(saved), now it is \(current)"))
      }
    }
  }

  @Test("a run may be made longer; one that is shorter than what is done is refused")
  func length() throws {
    try withTemporaryFolder { folder in
      let output = folder + "/out"
      _ = try run(output) { $0.maxSteps = 4 }
      let longer = try run(output, resume: true) { $0.maxSteps = 6 }
      #expect(longer.state["global_step"]?.integerValue == 6)
      #expect(
        longer.events.contains {
          if case .notice(let text) = $0 {
            text.contains("had 4 steps and now has 6")
          } else {
            false
          }
        })
      #expect(throws: TrainingError.self) {
        try FileSystem.remove(output + "/run_state.json")
        _ = try run(output, resume: true) { $0.maxSteps = 5 }
      }
    }
  }

  @Test("a step without a trained token is skipped and counted")
  func skipped() throws {
    try withTemporaryFolder { folder in
      let directory = TrainingParityTests.fixtures + "/tiny-qwen3"
      var (rows, config, _) = try TrainingParityTests().setUp("tiny-qwen3", folder + "/out")
      rows.insert(
        contentsOf: [
          EncodedRow(inputIDs: [1, 2], labels: [-100, -100], file: "a", line: 1),
          EncodedRow(inputIDs: [3, 4], labels: [-100, -100], file: "a", line: 2),
        ], at: 0)
      config.maxSteps = 3
      let model = try QwenModel.load(directory: directory)
      let adapter = try AdapterFile.load(directory + "/adapter", into: model)
      var events: [TrainingEvent] = []
      let trainer = try Trainer(
        model: model, rows: rows, config: config,
        artifacts: RunArtifacts(modelDirectory: directory, adapter: adapter),
        observe: { events.append($0) })
      #expect(try trainer.run().steps == 3)
      #expect(
        events.contains {
          if case .notice(let text) = $0 {
            text.hasPrefix("1 steps had no trained token")
          } else {
            false
          }
        })
    }
  }

  @Test("held-out rows are chosen by the seed, and both parts keep their order")
  func split() throws {
    let rows = (1...10).map {
      EncodedRow(inputIDs: [Int32($0), 1], labels: [1, 1], file: "a", line: $0)
    }
    let (training, evaluation) = try ValidationSplit.split(rows, size: 0.25, seed: 1)
    #expect(evaluation.count == 3 && training.count == 7)
    #expect((training + evaluation).map(\.line).sorted() == Array(1...10))
    #expect(training.map(\.line) == training.map(\.line).sorted())
    #expect(try ValidationSplit.split(rows, size: 0.25, seed: 1).evaluation == evaluation)
    #expect(try ValidationSplit.split(rows, size: 4, seed: 1).evaluation.count == 4)
    #expect(try ValidationSplit.split(rows, size: 0, seed: 1).evaluation.isEmpty)
    #expect(throws: TrainingError.self) { try ValidationSplit.split(rows, size: 10, seed: 1) }
    #expect(throws: TrainingError.self) { try ValidationSplit.split(rows, size: 0.99, seed: 1) }
  }
}

@Suite("Events as a stream")
struct EventStreamTests {
  @Sendable private static func trainer(_ hooks: Trainer.Hooks, _ folder: String) throws -> Trainer
  {
    let directory = TrainingParityTests.fixtures + "/tiny-qwen3"
    let (rows, config, _) = try TrainingParityTests().setUp("tiny-qwen3", folder + "/out")
    let model = try QwenModel.load(directory: directory)
    let adapter = try AdapterFile.load(directory + "/adapter", into: model)
    return try Trainer(
      model: model, rows: rows, config: config,
      artifacts: RunArtifacts(modelDirectory: directory, adapter: adapter),
      shouldStop: hooks.shouldStop, observe: hooks.observe)
  }

  @Test("a run streams its events and ends; errors end the stream")
  func stream() async throws {
    let folder = "/tmp/qwen-sft-tests-\(UInt64.random(in: 0...UInt64.max))"
    defer { try? FileSystem.remove(folder) }
    var steps = 0
    var isFinished = false
    for try await event in Trainer.events({ hooks in try Self.trainer(hooks, folder) }) {
      if case .step = event { steps += 1 }
      if case .finished = event { isFinished = true }
    }
    #expect(steps == 10 && isFinished)
    await #expect(throws: TrainingError.self) {
      for try await _ in Trainer.events({ _ in throw TrainingError.nothingToTrain(rows: 0) }) {}
    }
  }

  /// A run of so many steps that only a stop can end it within the test.
  @Sendable private static func longTrainer(
    _ hooks: Trainer.Hooks, _ folder: String, _ control: TrainingControl
  ) throws -> Trainer {
    let directory = TrainingParityTests.fixtures + "/tiny-qwen3"
    var (rows, config, _) = try TrainingParityTests().setUp("tiny-qwen3", folder + "/out")
    (config.maxSteps, config.saveStrategy) = (10_000_000, .no)
    let model = try QwenModel.load(directory: directory)
    let adapter = try AdapterFile.load(directory + "/adapter", into: model)
    rows.removeLast(3)
    return try Trainer(
      model: model, rows: rows, config: config,
      artifacts: RunArtifacts(modelDirectory: directory, adapter: adapter), control: control,
      shouldStop: hooks.shouldStop, observe: hooks.observe)
  }

  /// Waits until the run in `folder` has written a checkpoint, and says of which step.
  private func checkpoint(in folder: String) async throws -> Int {
    for _ in 0..<600 {
      let names = ((try? FileSystem.list(folder + "/out")) ?? []).map(\.name)
      if let step = names.compactMap({ Int($0.dropFirst("checkpoint-".count)) }).first {
        return step
      }
      try await Task.sleep(for: .milliseconds(50))
    }
    Issue.record("no checkpoint within 30 seconds")
    return 0
  }

  @Test("the run stops after a checkpoint when its reader leaves the loop or its task is cancelled")
  func cancellation() async throws {
    for isCancelled in [false, true] {
      let folder = "/tmp/qwen-sft-tests-\(UInt64.random(in: 0...UInt64.max))"
      defer { try? FileSystem.remove(folder) }
      let (started, signal) = AsyncStream<Int>.makeStream()
      let reader = Task {
        for try await event in Trainer.events({ hooks in
          try Self.longTrainer(hooks, folder, TrainingControl())
        }) {
          guard case .step(let step) = event, step.step >= 3 else { continue }
          signal.yield(step.step)
          if !isCancelled { break }
        }
      }
      var first = started.makeAsyncIterator()
      _ = await first.next()
      if isCancelled { reader.cancel() }
      _ = await reader.result
      let step = try await checkpoint(in: folder)
      #expect(step >= 3)
      // Nothing goes on behind it.
      try await Task.sleep(for: .milliseconds(200))
      #expect(try await checkpoint(in: folder) == step)
    }
  }

  @Test("a control stops a stream, which then ends with the checkpoint's place")
  func control() async throws {
    let folder = "/tmp/qwen-sft-tests-\(UInt64.random(in: 0...UInt64.max))"
    defer { try? FileSystem.remove(folder) }
    let control = TrainingControl()
    var saved: Int?
    do {
      for try await event in Trainer.events({ hooks in
        try Self.longTrainer(hooks, folder, control)
      }) {
        if case .step(let step) = event, step.step == 3 { control.stop() }
        if case .saved(_, let step) = event { saved = step }
      }
      Issue.record("the stream should have ended with an error")
    } catch TrainingError.interrupted(let step, let checkpoint) {
      #expect(step == saved && checkpoint == folder + "/out/checkpoint-\(step)")
    }
  }
}
