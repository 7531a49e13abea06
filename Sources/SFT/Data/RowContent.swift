// Reading the forms of a row: OpenAI's messages, TRL's prompt and completion, ShareGPT, Alpaca, plain text. All
// become messages, or text. What the result must keep to be trained on is not judged here.

import OrderedJSON

/// What a row says, whatever form it has.
struct RowContent {
  var messages: [JSONObject] = []
  var tools: JSON?
  var plainText: Conversation.PlainText?
  var trainedMessages: [Bool]?
  var places = MessagePlaces.messages
}

/// A fault on its way to where its place is known.
struct RowFault: Error {
  let problem: RowProblem
  init(_ problem: RowProblem) { self.problem = problem }
}

extension RowContent {
  /// The content of `row` in the form `format`.
  init(row: JSON, format: DataFormat) throws(RowFault) {
    guard case .object(let object) = row else {
      throw RowFault(.notAnObject(found: row.kindDescription))
    }
    let keys = object.keys.prefix(8).map { RowProblem.shortened($0).debugDescription }
      .joined(separator: ", ")
    let found = keys.isEmpty ? "nothing" : "only \(keys)"
    let form = format == .auto ? DataFormat.recognised(in: object) : format
    switch form {
    case nil: throw RowFault(.noMessages(found: found))
    case .messages, .auto: try self.init(messagesOf: object, found: found)
    case .promptCompletion: try self.init(promptCompletion: object)
    case .sharegpt: try self.init(sharegpt: object)
    case .alpaca: try self.init(alpaca: object)
    case .text:
      self.init(
        plainText: Conversation.PlainText(completion: try Self.text("text", of: object)),
        places: .text)
    }
  }

  // MARK: Messages

  private init(messagesOf object: JSONObject, found: String) throws(RowFault) {
    guard case .array(let items)? = object["messages"] else {
      throw RowFault(.noMessages(found: object["messages"]?.kindDescription ?? found))
    }
    guard !items.isEmpty else { throw RowFault(.noMessages(found: "an empty list")) }
    places = .messages
    try append(items)
    tools = try ToolForm.tools(object["tools"])
  }

  private init(promptCompletion object: JSONObject) throws(RowFault) {
    guard case .array(let completion)? = object["completion"] else {
      plainText = Conversation.PlainText(
        prompt: try Self.text("prompt", of: object, orList: object["completion"] == nil),
        completion: try Self.text("completion", of: object, orList: object["prompt"] == nil))
      places = .text
      return
    }
    guard case .array(let prompt)? = object["prompt"] else {
      throw RowFault(
        .badField(
          name: "prompt",
          problem: "expected a list of messages as in completion, "
            + "found \(object["prompt"]?.kindDescription ?? "nothing")"))
    }
    guard !completion.isEmpty else {
      throw RowFault(
        .badField(name: "completion", problem: "expected messages, found an empty list"))
    }
    places = .promptCompletion(promptCount: prompt.count)
    try append(prompt + completion)
    let flags = trainedMessages ?? messages.map { _ in true }
    trainedMessages = flags.enumerated().map { $0 >= prompt.count && $1 }
    tools = try ToolForm.tools(object["tools"])
  }

  /// Appends messages in OpenAI's form.
  private mutating func append(_ items: [JSON]) throws(RowFault) {
    messages.reserveCapacity(items.count)
    for item in items {
      let place = places.place(of: messages.count)
      guard case .object(let message) = item else {
        throw RowFault(
          .badMessage(place: place, problem: "expected an object, found \(item.kindDescription)"))
      }
      try append(message, place: place)
    }
  }

  /// Appends a message, its tool calls' arguments as values and its flags taken out.
  private mutating func append(_ message: JSONObject, place: String) throws(RowFault) {
    var message = message
    let isTrained = try TrainFlag.take(from: &message, place: place)
    if let isTrained {
      var flags = trainedMessages ?? messages.map { _ in true }
      flags.append(isTrained)
      trainedMessages = flags
    } else {
      trainedMessages?.append(true)
    }
    messages.append(try ToolForm.decodingArguments(message, place: place))
  }

  // MARK: ShareGPT

  private init(sharegpt object: JSONObject) throws(RowFault) {
    guard case .array(let items)? = object["conversations"] else {
      let found = object["conversations"]?.kindDescription ?? "nothing"
      throw RowFault(
        .badField(name: "conversations", problem: "expected a list of turns, found \(found)"))
    }
    guard !items.isEmpty else {
      throw RowFault(
        .badField(name: "conversations", problem: "expected turns, found an empty list"))
    }
    let system = try Self.optionalText("system", of: object)
    places = .conversations(hasSystem: system != nil)
    if let system { messages.append(["role": "system", "content": .string(system)]) }
    for (index, item) in items.enumerated() {
      let place = "conversations[\(index)]"
      guard case .object(let turn) = item else {
        throw RowFault(
          .badMessage(place: place, problem: "expected an object, found \(item.kindDescription)"))
      }
      try append(Self.message(ofTurn: turn, place: place), place: place)
    }
    tools = try ToolForm.wrappedTools(object["tools"])
  }

  /// The roles of ShareGPT and LLaMA-Factory as OpenAI's.
  private static let rolesOfSenders = [
    "human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant",
    "system": "system", "tool": "tool", "function": "tool", "observation": "tool",
    "function_call": "assistant",
  ]

  private static func message(ofTurn turn: JSONObject, place: String) throws(RowFault) -> JSONObject
  {
    // Some sets keep OpenAI's keys under this name.
    if turn["from"] == nil, turn["role"] != nil { return turn }
    guard case .string(let sender)? = turn["from"] else {
      let found = turn["from"]?.kindDescription ?? "nothing"
      throw RowFault(
        .badMessage(place: place, problem: "from: expected a string, found \(found)"))
    }
    guard let role = rolesOfSenders[sender] else {
      throw RowFault(
        .unknownRole(
          place: place + ".from", role: RowProblem.shortened(sender),
          expected: "human, gpt, system, tool, function_call or observation"))
    }
    var message: JSONObject = ["role": .string(role)]
    for key in [TrainFlag.weightKey, TrainFlag.trainKey] { message[key] = turn[key] }
    if sender == "function_call" {
      message["content"] = ""
      message["tool_calls"] = try ToolForm.calls(turn["value"], place: place + ".value")
    } else if let value = turn["value"] {
      message["content"] = value
    }
    return message
  }

  // MARK: Alpaca

  private init(alpaca object: JSONObject) throws(RowFault) {
    let system = try Self.optionalText("system", of: object)
    let instruction = try Self.text("instruction", of: object)
    let input = try Self.optionalText("input", of: object)
    let output = try Self.text("output", of: object)
    func add(_ role: String, _ content: String) {
      messages.append(["role": .string(role), "content": .string(content)])
    }
    if let system { add("system", system) }
    let pairs = try Self.history(object["history"])
    for (question, answer) in pairs {
      add("user", question)
      add("assistant", answer)
    }
    add("user", [instruction, input ?? ""].filter { !$0.isEmpty }.joined(separator: "\n"))
    add("assistant", output)
    places = .alpaca(hasSystem: system != nil, historyCount: pairs.count)
    tools = try ToolForm.wrappedTools(object["tools"])
  }

  private static func history(_ value: JSON?) throws(RowFault) -> [(String, String)] {
    guard let value, !value.isNull else { return [] }
    guard case .array(let items) = value else {
      throw RowFault(
        .badField(
          name: "history",
          problem: "expected a list of [question, answer], found \(value.kindDescription)"))
    }
    var pairs: [(String, String)] = []
    for (index, item) in items.enumerated() {
      guard case .array(let pair) = item, pair.count == 2, case .string(let question) = pair[0],
        case .string(let answer) = pair[1]
      else {
        throw RowFault(
          .badField(name: "history[\(index)]", problem: "expected [question, answer], two strings"))
      }
      pairs.append((question, answer))
    }
    return pairs
  }

  // MARK: Fields

  private static func text(_ name: String, of object: JSONObject, orList: Bool = false)
    throws(RowFault) -> String
  {
    if case .string(let text)? = object[name] { return text }
    let expected = orList ? "a string, or a list of messages" : "a string"
    let found = object[name]?.kindDescription ?? "nothing"
    throw RowFault(.badField(name: name, problem: "expected \(expected), found \(found)"))
  }

  /// The text of a field that may be missing, null or empty: nil then.
  private static func optionalText(_ name: String, of object: JSONObject) throws(RowFault)
    -> String?
  {
    guard let value = object[name], !value.isNull else { return nil }
    let text = try Self.text(name, of: object)
    return text.isEmpty ? nil : text
  }
}
