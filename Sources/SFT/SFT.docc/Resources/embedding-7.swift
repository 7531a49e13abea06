import NN
import OrderedJSON
import QwenModel
import SFT

/// What comes after a number.
struct Numbers: TrainingDataSource {
  var index = 0

  mutating func next() throws -> TrainingItem? {
    guard index < 1000 else { return nil }
    defer { index += 1 }
    return .conversation(
      Conversation(messages: [
        ["role": "user", "content": .string("What comes after \(index)?")],
        ["role": "assistant", "content": .string("\(index + 1)")],
      ]))
  }
}

func train(folder: String, output: String) async throws {
  let control = TrainingControl()
  let events = Trainer.events { hooks in
    let encoder = try ConversationEncoder(folder: folder)
    var source = Numbers()
    let rows = try encoder.trainingRows(from: &source, maximumLength: 256).rows
    let lora = LoRAConfig(rank: 8, alpha: 16)
    let model = try QwenModel.load(directory: folder)
    let paths = try model.injectLoRA(lora)
    try model.initializeAdapters(lora.initialization, seed: 42, on: .cpu)
    var config = TrainingConfig(outputDir: output)
    config.numTrainEpochs = 3
    config.learningRate = 1e-3
    config.saveSteps = 0.1  // a tenth of the run
    return try Trainer(
      model: model, rows: rows, config: config,
      artifacts: RunArtifacts(
        modelDirectory: folder, adapter: AdapterConfig(lora, paths: paths, baseModel: folder)),
      control: control, shouldStop: hooks.shouldStop, observe: hooks.observe)
  }
  for try await event in events {
    guard case .step(let step) = event else { continue }
    print("step \(step.step): loss \(step.loss)")
    if step.loss < 0.05 { control.stop() }
  }
}
