// A source of rows and a callback of one's own: sums as conversations, a run that ends when it has learnt enough.
//
//     swift run -c release callback MODEL_FOLDER OUTPUT_FOLDER

import NN
import OrderedJSON
import QwenModel
import SFT

/// Sums of two digits, one after the other; none of them is kept.
struct Sums: TrainingDataSource {
  var index = 0

  mutating func next() throws -> TrainingItem? {
    guard index < 100 else { return nil }
    let (a, b) = (index / 10, index % 10)
    index += 1
    return .conversation(
      Conversation(messages: [
        ["role": "user", "content": .string("What is \(a) plus \(b)?")],
        ["role": "assistant", "content": .string("\(a + b).")],
      ]))
  }
}

/// Ends a run whose last losses were below a limit.
final class EnoughLearnt: TrainingCallback {
  private var low = 0

  func handle(_ event: TrainingEvent, control: TrainingControl) {
    guard case .step(let step) = event else { return }
    low = step.loss < 0.4 ? low + 1 : 0
    print("step \(step.step): loss \(step.loss)")
    if low == 3 { control.finish() }
  }
}

@main
struct Callback {
  static func main() throws {
    let arguments = CommandLine.arguments
    guard arguments.count == 3 else { return print("usage: callback MODEL_FOLDER OUTPUT_FOLDER") }
    var source = Sums()
    let rows = try ConversationEncoder(folder: arguments[1]).trainingRows(from: &source).rows
    var config = TrainingConfig(outputDir: arguments[2])
    (config.maxSteps, config.learningRate, config.saveStrategy) = (200, 5e-3, .no)
    let lora = LoRAConfig(rank: 8, alpha: 16)
    let model = try QwenModel.load(directory: arguments[1])
    let paths = try model.injectLoRA(lora)
    for (_, adapter) in model.namedAdapters() { adapter.initialize(seed: config.seed, on: .cpu) }
    let adapter = AdapterConfig(lora, paths: paths, baseModel: arguments[1])
    let summary = try Trainer(
      model: model, rows: rows, config: config,
      artifacts: RunArtifacts(modelDirectory: arguments[1], adapter: adapter),
      callbacks: [EnoughLearnt()]
    ).run()
    print("ended after \(summary.steps) steps")
  }
}
