// From a conversation to an answer: render, encode, generate.

import ChatTemplate
import OrderedJSON
import QwenModel
import SFT
import Tensor
import Tokenizer

/// Answers conversations.
struct Answerer {
  let model: QwenModel
  let encoder: ConversationEncoder
  let stopIDs: Set<Int32>
  let sampling: SamplingArguments

  /// The answer to a conversation; `onToken` sees every id but the one that ends it.
  func answer(
    _ conversation: Conversation, stream: Int = 0, onToken: (Int32) throws -> Void
  ) throws -> Generator.Output {
    let text = try encoder.render(conversation, addGenerationPrompt: true).utf8
    let prompt = encoder.tokenizer.encode(utf8: text)
    guard !prompt.isEmpty else {
      throw CLIError.line(
        input: conversation.file, line: conversation.line,
        problem: "the template renders to nothing")
    }
    for id in prompt where id < 0 || Int(id) >= model.config.vocabSize {
      throw TrainingError.tokenOutOfRange(
        id: Int(id), vocabulary: model.config.vocabSize,
        place: "\(conversation.file):\(conversation.line)")
    }
    let generator = Generator(model: model, stopIDs: stopIDs, options: sampling.options)
    var failure: (any Error)?
    let output = try generator.generate(
      prompt: prompt, maxNewTokens: sampling.maxNewTokens, stream: stream
    ) { id in
      if stopIDs.contains(id) { return true }
      do {
        try onToken(id)
        return true
      } catch {
        failure = error
        return false
      }
    }
    if let failure { throw failure }
    return output
  }

  /// The answer's text, without the token that ended it and other special tokens.
  func text(_ output: Generator.Output) -> String {
    encoder.tokenizer.decode(output.ids, skipSpecialTokens: true)
  }

  /// The answer as `--json` prints it.
  func json(_ output: Generator.Output) -> JSON {
    .object(
      JSONObject([
        ("text", .string(text(output))), ("ids", .array(output.ids.map { .integer(Int($0)) })),
        ("prompt_tokens", .integer(output.promptCount)),
        ("new_tokens", .integer(output.ids.count)),
        ("tokens_per_second", .number(output.tokensPerSecond)),
      ]))
  }
}
