// Answers of a model while it is trained, so that one can read how it changes.

import ChatTemplate
import OrderedJSON
import QwenModel
import Tensor
import Tokenizer

/// Prompts that a model in training answers greedily.
public struct AnswerSampler: Sendable {
  private let encoder: ConversationEncoder
  private let stopIDs: Set<Int32>
  private let maxNewTokens: Int
  /// The prompts: what is shown of them, their ids, and where they stand.
  let prompts: [(text: String, ids: [Int32], place: String)]

  /// A sampler of answers of at most `maxNewTokens` tokens to `conversations`, which end with a user's turn.
  public init(
    _ conversations: [Conversation], encoder: ConversationEncoder, stopIDs: Set<Int32>,
    maxNewTokens: Int = 128
  ) throws(DataError) {
    self.encoder = encoder
    self.stopIDs = stopIDs
    self.maxNewTokens = maxNewTokens
    var prompts: [(text: String, ids: [Int32], place: String)] = []
    for conversation in conversations {
      let rendered = try encoder.render(conversation, addGenerationPrompt: true)
      let last = conversation.messages.last { $0["role"]?.stringValue == "user" }
      prompts.append(
        (
          last?["content"]?.stringValue ?? "", encoder.tokenizer.encode(utf8: rendered.utf8),
          "\(conversation.file):\(conversation.line)"
        ))
    }
    self.prompts = prompts.filter { !$0.ids.isEmpty }
  }

  /// Training has better uses for the memory of a screen.
  private func generator(_ model: QwenModel, stopIDs: Set<Int32>) -> Generator {
    Generator(model: model, stopIDs: stopIDs, options: .greedy, screensHead: false)
  }

  /// Lets a model without numbers answer the longest prompt, as long as an answer may be.
  func rehearse(on model: QwenModel) throws(DeviceError) {
    guard let longest = prompts.max(by: { $0.ids.count < $1.ids.count }) else { return }
    _ = try generator(model, stopIDs: []).generate(
      prompt: longest.ids, maxNewTokens: maxNewTokens)
  }

  /// The answer of `model` to prompt `index`; nil where `shouldStop` says so before it is complete.
  func answer(
    _ index: Int, of model: QwenModel, step: Int, isFinal: Bool, shouldStop: () -> Bool
  ) throws(TrainingError) -> SampledAnswer? {
    let prompt = prompts[index]
    let output: Generator.Output
    var isStopped = false
    do {
      output = try generator(model, stopIDs: stopIDs).generate(
        prompt: prompt.ids, maxNewTokens: maxNewTokens
      ) { _ in
        isStopped = shouldStop()
        return !isStopped
      }
    } catch { throw .device(error) }
    if isStopped { return nil }
    return SampledAnswer(
      step: step, index: index, prompt: prompt.text,
      text: encoder.tokenizer.decode(output.ids, skipSpecialTokens: true), ids: output.ids,
      isFinal: isFinal)
  }
}
