// A model whose weights are not numbers is an error, not an answer.

import Autograd
import NN
import QwenModel
import SFT
import Tensor
import Testing

@Suite("Weights that are not numbers")
struct NotANumberTests {
  func damagedModel() throws -> QwenModel {
    let model = try QwenModel.load(directory: TrainingParityTests.fixtures + "/tiny-qwen3")
    model.model.norm.weight.value = Tensor.full(model.model.norm.weight.shape, .nan)
    return model
  }

  @Test("evaluation names the row")
  func evaluation() throws {
    let rows = [
      EncodedRow(inputIDs: [1, 2, 3], labels: [-100, -100, -100], file: "a.jsonl", line: 1),
      EncodedRow(inputIDs: [1, 2, 3], labels: [-100, 2, 3], file: "a.jsonl", line: 2),
    ]
    do {
      _ = try Evaluator(model: damagedModel(), on: .cpu).evaluate(rows)
      Issue.record("the evaluation should have failed")
    } catch let error as TrainingError {
      #expect(error.description.hasPrefix("a.jsonl:2: "))
    }
  }

  @Test("generation says what is wrong")
  func generation() throws {
    let generator = Generator(model: try damagedModel(), stopIDs: [], options: .greedy)
    #expect(throws: DeviceError.self) { try generator.generate(prompt: [1, 2], maxNewTokens: 2) }
  }
}
