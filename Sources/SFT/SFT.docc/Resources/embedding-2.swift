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
}
