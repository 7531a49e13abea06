// The rules that a row must keep to be trained on.

import OrderedJSON

extension Conversation {
  /// The roles that a message may have.
  static let roles = ["system", "user", "assistant", "tool"]

  /// The first fault of the conversation, nil for a usable one: unknown roles, messages that say nothing and
  /// call no tool, content that is neither text nor a list of text parts, no assistant turn.
  public var problem: RowProblem? {
    var hasAssistantTurn = false
    for (index, message) in messages.enumerated() {
      guard case .string(let role)? = message["role"] else {
        let found = message["role"]?.kindDescription ?? "nothing"
        return .badMessage(index: index, problem: "role: expected a string, found \(found)")
      }
      guard Self.roles.contains(where: { $0.utf8.elementsEqual(role.utf8) }) else {
        return .unknownRole(index: index, role: role)
      }
      if role == "assistant" { hasAssistantTurn = true }
      if let problem = Self.problem(ofContent: message, role: role, index: index) { return problem }
    }
    return hasAssistantTurn ? nil : .noAssistantTurn
  }

  /// The conversation itself.
  ///
  /// - Throws: its ``problem`` with its place.
  public func validated() throws(DataFault) -> Conversation {
    if let problem { throw DataFault(file: file, line: line, problem: problem) }
    return self
  }

  private static func problem(ofContent message: JSONObject, role: String, index: Int)
    -> RowProblem?
  {
    let callsTools: Bool
    if case .array(let calls)? = message["tool_calls"] {
      callsTools = !calls.isEmpty
    } else {
      callsTools = false
    }
    func noContent(_ found: String) -> RowProblem? {
      callsTools ? nil : .noContent(index: index, role: role, found: found)
    }
    switch message["content"] {
    case nil: return noContent("missing")
    case .null: return noContent("null")
    case .string(let text): return text.isEmpty ? noContent("empty") : nil
    case .array(let parts):
      var isEmpty = true
      for (number, part) in parts.enumerated() {
        guard case .string("text")? = part["type"], case .string(let text)? = part["text"] else {
          let type = part["type"]?.stringValue.map { "type \($0.debugDescription)" }
          return .badMessage(
            index: index,
            problem: "content[\(number)]: expected {\"type\": \"text\", \"text\": …}, found "
              + (type ?? part.kindDescription))
        }
        if !text.isEmpty { isEmpty = false }
      }
      return isEmpty ? noContent("empty") : nil
    case .some(let value):
      return .badMessage(
        index: index,
        problem: "content: expected a string or a list of parts, found \(value.kindDescription)")
    }
  }
}
