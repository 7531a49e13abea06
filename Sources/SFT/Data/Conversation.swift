// One training row, whatever form its file has: messages and the tools that may be called, or plain text. What
// the forms look like is in Conversation+Forms.swift, what a row must keep in Conversation+Validation.swift.

public import OrderedJSON

/// A conversation with the place it came from.
///
/// Equality and hashing are those of the content; the place does not count.
public struct Conversation: Sendable {
  /// Text that is trained as it stands, without a chat template.
  public struct PlainText: Sendable, Hashable {
    /// The context, empty for a row of nothing but text.
    public let prompt: String
    /// What is trained. The tokenizer's end-of-text token follows it.
    public let completion: String

    /// A text of a context and what is trained.
    public init(prompt: String = "", completion: String) {
      (self.prompt, self.completion) = (prompt, completion)
    }

    /// Whether both parts are the same bytes.
    public static func == (left: PlainText, right: PlainText) -> Bool {
      left.prompt.utf8.elementsEqual(right.prompt.utf8)
        && left.completion.utf8.elementsEqual(right.completion.utf8)
    }

    /// Feeds the bytes of both parts to `hasher`.
    public func hash(into hasher: inout Hasher) {
      for text in [prompt, completion] { hasher.combine(JSON.string(text)) }
    }
  }

  /// The messages, in order, as the template sees them; none in a row of plain text.
  public let messages: [JSONObject]
  /// The tools that may be called; nil where the row has none or null.
  public let tools: JSON?
  /// The text of a row without messages.
  public let plainText: PlainText?
  /// For each message whether it is trained if it is the assistant's; nil where all of them are.
  public let trainedMessages: [Bool]?
  /// The file of the row.
  public let file: String
  /// The line on which the row begins, from 1.
  public let line: Int
  /// Where the messages stand in the row.
  let places: MessagePlaces

  /// A conversation of ready messages, taken as they are.
  public init(
    messages: [JSONObject], tools: JSON? = nil, trainedMessages: [Bool]? = nil, file: String = "",
    line: Int = 1
  ) {
    self.init(
      RowContent(messages: messages, tools: tools, trainedMessages: trainedMessages), file: file,
      line: line)
  }

  /// A row of plain text.
  public init(plainText: PlainText, file: String = "", line: Int = 1) {
    self.init(RowContent(plainText: plainText, places: .text), file: file, line: line)
  }

  /// A conversation of a row, without ``validated()``; only the form that rendering needs is asked for.
  public init(row: JSON, format: DataFormat = .auto, file: String, line: Int) throws(DataFault) {
    let content: RowContent
    do throws(RowFault) { content = try RowContent(row: row, format: format) } catch {
      throw DataFault(file: file, line: line, problem: error.problem)
    }
    self.init(content, file: file, line: line)
  }

  init(_ content: RowContent, file: String, line: Int) {
    precondition(
      content.trainedMessages.map { $0.count == content.messages.count } ?? true,
      "Conversation: \(content.messages.count) messages with another number of flags")
    (messages, tools, plainText) = (content.messages, content.tools, content.plainText)
    (trainedMessages, places) = (content.trainedMessages, content.places)
    (self.file, self.line) = (file, line)
  }

  /// The row with other messages, as many as before.
  func replacing(messages: [JSONObject]) -> Conversation {
    Conversation(
      RowContent(
        messages: messages, tools: tools, plainText: plainText, trainedMessages: trainedMessages,
        places: places), file: file, line: line)
  }

  /// Whether message `index` is one of the assistant's that is to be trained.
  func isTrained(_ index: Int) -> Bool {
    guard messages[index]["role"]?.stringValue == "assistant" else { return false }
    return trainedMessages?[index] ?? true
  }
}

extension Conversation: Hashable {
  /// Whether the content is the same.
  public static func == (left: Conversation, right: Conversation) -> Bool {
    left.messages == right.messages && left.tools == right.tools
      && left.plainText == right.plainText && left.trainedMessages == right.trainedMessages
  }

  /// Feeds the content to `hasher`.
  public func hash(into hasher: inout Hasher) {
    hasher.combine(messages)
    hasher.combine(tools)
    hasher.combine(plainText)
    hasher.combine(trainedMessages)
  }
}

/// Where the messages of a conversation stand in the row that it was read from, for errors.
enum MessagePlaces: Sendable, Hashable {
  case messages
  case promptCompletion(promptCount: Int)
  case conversations(hasSystem: Bool)
  case alpaca(hasSystem: Bool, historyCount: Int)
  case text

  /// The place of message `index`, such as "completion[0]".
  func place(of index: Int) -> String {
    switch self {
    case .messages: return "messages[\(index)]"
    case .promptCompletion(let count):
      return index < count ? "prompt[\(index)]" : "completion[\(index - count)]"
    case .conversations(let hasSystem):
      let index = hasSystem ? index - 1 : index
      return index < 0 ? "system" : "conversations[\(index)]"
    case .alpaca(let hasSystem, let historyCount):
      let index = hasSystem ? index - 1 : index
      if index < 0 { return "system" }
      if index < 2 * historyCount { return "history[\(index / 2)][\(index % 2)]" }
      return index % 2 == 0 ? "instruction" : "output"
    case .text: return "text"
    }
  }

  /// The place of what message `index` says.
  func content(of index: Int) -> String {
    switch self {
    case .messages, .promptCompletion: return place(of: index) + ".content"
    case .conversations:
      let place = place(of: index)
      return place == "system" ? place : place + ".value"
    case .alpaca, .text: return place(of: index)
    }
  }
}
