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

func train(folder: String, output: String) throws {
  let encoder = try ConversationEncoder(folder: folder)
  var source = Numbers()
  let rows = try encoder.trainingRows(from: &source, maximumLength: 256).rows
  let lora = LoRAConfig(rank: 8, alpha: 16)
  let model = try QwenModel.load(directory: folder)
  let paths = try model.injectLoRA(lora)
  try model.initializeAdapters(lora.initialization, seed: 42, on: .cpu)
}
