// Training inside a program: rows made here, events as a stream, stopped by leaving the loop.
//
//     swift run -c release embedding MODEL_FOLDER OUTPUT_FOLDER

import NN
import OrderedJSON
import QwenModel
import SFT

@main
struct Embedding {
  static func main() async throws {
    let arguments = CommandLine.arguments
    guard arguments.count == 3 else { return print("usage: embedding MODEL_FOLDER OUTPUT_FOLDER") }
    let (folder, output) = (arguments[1], arguments[2])

    let events = Trainer.events { hooks in
      // 1. Rows from anywhere; here three questions about a name.
      let encoder = try ConversationEncoder(folder: folder)
      let rows = try encoder.trainingRows(
        ["What is your name?", "Who are you?", "Your name, please?"].map { question in
          Conversation(messages: [
            ["role": "user", "content": .string(question)],
            ["role": "assistant", "content": "My name is Quill."],
          ])
        }
      ).rows
      // 2. The settings and the model with a fresh adapter.
      var config = TrainingConfig(outputDir: output)
      (config.maxSteps, config.learningRate) = (20, 5e-3)
      (config.gradientAccumulationSteps, config.saveStrategy) = (1, .no)
      let lora = LoRAConfig(rank: 8, alpha: 16)
      let model = try QwenModel.load(directory: folder)
      let paths = try model.injectLoRA(lora)
      for (_, adapter) in model.namedAdapters() { adapter.initialize(seed: config.seed, on: .cpu) }
      // 3. The trainer.
      return try Trainer(
        model: model, rows: rows, config: config,
        artifacts: RunArtifacts(
          modelDirectory: folder, adapter: AdapterConfig(lora, paths: paths, baseModel: folder)),
        shouldStop: hooks.shouldStop, observe: hooks.observe)
    }
    for try await event in events {
      if case .step(let step) = event { print("step \(step.step): loss \(step.loss)") }
      if case .finished(let summary) = event { print("mean loss \(summary.trainLoss)") }
    }
  }
}
