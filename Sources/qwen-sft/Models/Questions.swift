// Conversations that wait for an answer.

import OrderedJSON
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
