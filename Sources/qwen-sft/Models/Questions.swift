// Conversations that wait for an answer.

import Files
import OrderedJSON
import QwenModel
import SFT

/// Making conversations that end with a user's turn.
enum Questions {
  /// A single question.
  static func conversation(_ prompt: String, system: String?) -> Conversation {
    Conversation(messages: withSystem(system, [message("user", prompt)]), file: "--prompt")
  }

  /// The conversations of a file, each cut after its last user (or tool) turn.
  static func conversations(in path: String, system: String?) throws -> [Conversation] {
    let reader = ConversationReader(paths: [path], isValidating: false)
    var questions: [Conversation] = []
    while let row = try reader.next() {
      let whole = try row.conversation.get()
      guard let last = whole.messages.lastIndex(where: { $0["role"]?.stringValue == "user" }) else {
        throw CLIError.line(
          input: row.file, line: row.line, problem: "no user turn, so there is nothing to answer")
      }
      questions.append(
        Conversation(
          messages: withSystem(system, Array(whole.messages[...last])), tools: whole.tools,
          file: row.file, line: row.line))
    }
    return questions
  }

  /// The prompts of `--sample_prompts`: conversations, or a prompt a line where the name ends in .txt.
  static func samples(in path: String) throws -> [Conversation] {
    guard path.utf8.suffix(4).elementsEqual(".txt".utf8) else {
      let all = try conversations(in: path, system: nil)
      if all.isEmpty {
        throw CLIError.argument(option: "sample_prompts", problem: "\(path): no conversation in it")
      }
      return all
    }
    var prompts: [Conversation] = []
    let text: String
    do throws(FileError) { text = try FileSystem.readText(path, maximumByteCount: 1 << 24) } catch {
      throw CLIError.file(error)
    }
    for (index, line) in text.utf8.split(separator: 0x0A, omittingEmptySubsequences: false)
      .enumerated() where !line.isEmpty
    {
      let prompt = String(decoding: line.last == 0x0D ? line.dropLast() : line, as: UTF8.self)
      prompts.append(
        Conversation(messages: [message("user", prompt)], file: path, line: index + 1))
    }
    if prompts.isEmpty {
      throw CLIError.argument(option: "sample_prompts", problem: "\(path): no line in it")
    }
    return prompts
  }

  /// What answers the prompts of `--sample_prompts` while the model in `folder` is trained.
  static func sampler(in path: String, folder: String, encoder: ConversationEncoder) throws
    -> AnswerSampler
  {
    try AnswerSampler(
      samples(in: path), encoder: encoder,
      stopIDs: Session.stopIDs(
        folder, config: QwenConfig(directory: folder), tokenizer: encoder.tokenizer))
  }

  /// A message with a role.
  static func message(_ role: String, _ content: String) -> JSONObject {
    JSONObject([("role", .string(role)), ("content", .string(content))])
  }

  /// `messages` with a system message in front, in the place of one that is there.
  static func withSystem(_ system: String?, _ messages: [JSONObject]) -> [JSONObject] {
    guard let system else { return messages }
    let rest =
      messages.first?["role"]?.stringValue == "system" ? messages.dropFirst() : messages[...]
    return [message("system", system)] + rest
  }
}
