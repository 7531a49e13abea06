// Content that a chat template passes over: those of Qwen's text models render a list of parts as nothing.

import OrderedJSON

/// Finds what does not arrive in the rendered row.
extension ConversationEncoder {
  /// The contents in parts of which the template leaves text out. Rows are rendered for it only where they have such contents.
  public func leftOutContents(of conversation: Conversation) -> [RowProblem] {
    let inParts = conversation.messages.enumerated().compactMap { index, message in
      message["content"]?.arrayValue.map { (index, $0.compactMap { $0["text"]?.stringValue }) }
    }
    guard !inParts.isEmpty, conversation.plainText == nil,
      let rendered = try? text(of: conversation)
    else { return [] }
    return inParts.compactMap { index, texts in
      texts.allSatisfy { rendered.contains(Self.trimmed($0)) }
        ? nil : .leftOut(place: conversation.places.content(of: index))
    }
  }

  /// Templates take away the whitespace around what they render.
  private static func trimmed(_ text: String) -> Substring {
    var rest = text[...]
    while rest.first?.isWhitespace == true { rest.removeFirst() }
    while rest.last?.isWhitespace == true { rest.removeLast() }
    return rest
  }
}
