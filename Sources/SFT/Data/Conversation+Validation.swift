// The rules that a row must keep to be trained on, and what is odd about a row that keeps them.

import OrderedJSON
public import Tokenizer

extension Conversation {
  /// The roles that a message may have.
  static let roles = ["system", "user", "assistant", "tool"]

  /// The first fault of the conversation, nil for a usable one: unknown roles, messages that say nothing and
  /// call no tool, content that is neither text nor a list of text parts, no assistant turn.
  public var problem: RowProblem? { problems.first }

  /// All faults of the conversation, in order.
  public var problems: [RowProblem] {
    if let plainText {
      guard plainText.completion.isEmpty else { return [] }
      return [.badField(name: plainText.prompt.isEmpty ? "text" : "completion", problem: "empty")]
    }
    var problems: [RowProblem] = []
    var (hasAssistantTurn, hasTrainedTurn) = (false, false)
    // In rows of prompt and completion only the completion's turns count.
    let firstCounted =
      if case .promptCompletion(let count) = places { count } else { 0 }
    for (index, message) in messages.enumerated() {
      let place = places.place(of: index)
      guard case .string(let role)? = message["role"] else {
        let found = message["role"]?.kindDescription ?? "nothing"
        problems.append(
          .badMessage(place: place, problem: "role: expected a string, found \(found)"))
        continue
      }
      guard Self.roles.contains(where: { $0.utf8.elementsEqual(role.utf8) }) else {
        problems.append(
          .unknownRole(
            place: place + ".role", role: RowProblem.shortened(role),
            expected: "system, user, assistant or tool"))
        continue
      }
      if role == "assistant", index >= firstCounted {
        hasAssistantTurn = true
        if isTrained(index) { hasTrainedTurn = true }
      }
      if let problem = problem(ofContent: message, role: role, index: index) {
        problems.append(problem)
      }
    }
    if !hasAssistantTurn {
      problems.append(.noAssistantTurn)
    } else if !hasTrainedTurn {
      problems.append(.noTrainedTurn)
    }
    return problems
  }

  /// The conversation itself.
  ///
  /// - Throws: its ``problem`` with its place.
  public func validated() throws(DataFault) -> Conversation {
    if let problem { throw DataFault(file: file, line: line, problem: problem) }
    return self
  }

  /// What is wrong with what `message` says; nil for nothing.
  func problem(ofContent message: JSONObject, role: String, index: Int) -> RowProblem? {
    let callsTools: Bool
    if case .array(let calls)? = message["tool_calls"] {
      callsTools = !calls.isEmpty
    } else {
      callsTools = false
    }
    let place = places.content(of: index)
    func noContent(_ found: String) -> RowProblem? {
      callsTools ? nil : .noContent(place: place, role: role, found: found)
    }
    switch message["content"] {
    case nil: return noContent("missing")
    case .null: return noContent("null")
    case .string(let text): return text.isEmpty ? noContent("empty") : nil
    case .array(let parts):
      var isEmpty = true
      for (number, part) in parts.enumerated() {
        guard case .string("text")? = part["type"], case .string(let text)? = part["text"] else {
          let type = part["type"]?.stringValue.map {
            "type \(RowProblem.shortened($0).debugDescription)"
          }
          return .unsupportedContent(
            place: "\(place)[\(number)]",
            problem: "expected {\"type\": \"text\", \"text\": …}, found "
              + (type ?? part.kindDescription))
        }
        if !text.isEmpty { isEmpty = false }
      }
      return isEmpty ? noContent("empty") : nil
    case .some(let value):
      return .unsupportedContent(
        place: place,
        problem: "expected a string or a list of parts, found \(value.kindDescription)")
    }
  }
}

/// What is odd about rows that can be trained on.
public struct RowInspector: Sendable {
  /// The special tokens as bytes; element b holds those whose first byte is b.
  private let specialTokens: [[[UInt8]]]

  /// An inspector that knows the special tokens of `tokenizer`.
  public init(tokenizer: Tokenizer) {
    var tokens = [[[UInt8]]](repeating: [], count: 256)
    for token in tokenizer.specialTokenIDs.compactMap({ tokenizer.token(for: $0) }) {
      if let first = token.utf8.first { tokens[Int(first)].append(Array(token.utf8)) }
    }
    specialTokens = tokens
  }

  /// The oddities of a usable row, each kind at most once a message.
  public func warnings(of conversation: Conversation) -> [RowProblem] {
    var warnings = Self.roleOrder(of: conversation)
    for (index, message) in conversation.messages.enumerated() {
      let place = conversation.places.content(of: index)
      switch message["content"] {
      case .string(let text): inspect(text, place, &warnings)
      case .array(let parts):
        for (number, part) in parts.enumerated() {
          if let text = part["text"]?.stringValue {
            inspect(text, "\(place)[\(number)]", &warnings)
          }
        }
      default: break
      }
    }
    if let text = conversation.plainText {
      if !text.prompt.isEmpty { inspect(text.prompt, "prompt", &warnings, mayBeSpecial: true) }
      let place = text.prompt.isEmpty ? "text" : "completion"
      inspect(text.completion, place, &warnings, mayBeSpecial: true)
    }
    return warnings
  }

  /// - Parameter mayBeSpecial: whether special tokens are the writer's business, as in plain text.
  private func inspect(
    _ text: String, _ place: String, _ warnings: inout [RowProblem], mayBeSpecial: Bool = false
  ) {
    let bytes = Array(text.utf8)
    var control: UInt32?
    var hasReplacement = false
    var token: [UInt8]?
    for (index, byte) in bytes.enumerated() {
      if byte < 0x20 || byte == 0x7F {
        if control == nil, byte != 0x09, byte != 0x0A, byte != 0x0D { control = UInt32(byte) }
      } else if byte == 0xC2, index + 1 < bytes.count, bytes[index + 1] < 0xA0 {
        if control == nil { control = UInt32(bytes[index + 1]) }
      } else if byte == 0xEF, index + 2 < bytes.count, bytes[index + 1] == 0xBF,
        bytes[index + 2] == 0xBD
      {
        hasReplacement = true
      }
      if !mayBeSpecial, token == nil, !specialTokens[Int(byte)].isEmpty {
        token = specialTokens[Int(byte)].first {
          index + $0.count <= bytes.count && bytes[index..<index + $0.count].elementsEqual($0)
        }
      }
    }
    if let control { warnings.append(.controlCharacter(place: place, scalar: control)) }
    if hasReplacement { warnings.append(.replacementCharacter(place: place)) }
    if let token {
      warnings.append(.specialToken(place: place, token: String(decoding: token, as: UTF8.self)))
    }
  }

  private static func roleOrder(of conversation: Conversation) -> [RowProblem] {
    var warnings: [RowProblem] = []
    var earlier: String?
    var hasTurns = false
    for (index, message) in conversation.messages.enumerated() {
      guard let role = message["role"]?.stringValue else { continue }
      func warn(_ problem: String) {
        warnings.append(
          .roleOrder(place: conversation.places.place(of: index), problem: problem))
      }
      switch (earlier, role) {
      case (nil, "assistant"), ("system", "assistant"):
        if !hasTurns { warn("the assistant speaks first") }
      case (.some, "system"): warn("a system turn after the start")
      case ("user", "user"): warn("two user turns in a row")
      case ("assistant", "assistant"): warn("two assistant turns in a row")
      case (nil, "tool"), ("system", "tool"), ("user", "tool"):
        warn("a tool's answer that no assistant turn asked for")
      default: break
      }
      earlier = role
      if role != "system" { hasTurns = true }
    }
    if let earlier, earlier != "assistant", let last = conversation.messages.indices.last {
      warnings.append(
        .roleOrder(
          place: conversation.places.place(of: last),
          problem: "the last turn is not the assistant's and is no context of any answer"))
    }
    return warnings
  }
}
