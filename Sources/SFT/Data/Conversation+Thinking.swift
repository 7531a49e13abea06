// Leaving reasoning out of training data.

import OrderedJSON

extension Conversation {
  /// The conversation without the reasoning of its assistant turns: neither `reasoning_content`, `reasoning`
  /// and `thinking`, nor what stands before `</think>` in text content. What the template then writes in its
  /// place, such as an empty think block, is the template's business.
  public func withoutThinking() -> Conversation {
    let stripped = messages.map { message -> JSONObject in
      guard case .string("assistant")? = message["role"] else { return message }
      var message = message
      for key in ["reasoning_content", "reasoning", "thinking"] { message[key] = nil }
      switch message["content"] {
      case .string(let text)?: message["content"] = .string(Self.answer(in: text) ?? text)
      case .array(let parts)?: message["content"] = .array(Self.answer(in: parts))
      default: break
      }
      return message
    }
    return replacing(messages: stripped)
  }

  /// Text parts without what stands before the last `</think>` in them.
  private static func answer(in parts: [JSON]) -> [JSON] {
    for index in parts.indices.reversed() {
      guard case .object(var part) = parts[index], case .string(let text)? = part["text"],
        let answer = answer(in: text)
      else { continue }
      part["text"] = .string(answer)
      return [.object(part)] + parts[(index + 1)...]
    }
    return parts
  }

  /// What follows the last `</think>`, without the newlines between; nil where there is none.
  private static func answer(in text: String) -> String? {
    let bytes = Array(text.utf8)
    let marker = Array("</think>".utf8)
    var start = 0
    while let found = LossMask.find(marker, in: bytes, from: start) { start = found + marker.count }
    if start == 0 { return nil }
    while start < bytes.count, bytes[start] == 0x0A { start += 1 }
    return String(decoding: bytes[start...], as: UTF8.self)
  }
}

extension ConversationEncoder {
  /// The turns of `conversation`, a row without faults that its reasoning was taken from, which are to be trained
  /// and say nothing any more.
  public func emptiedTurns(of conversation: Conversation) -> [RowProblem] {
    let trained = conversation.messages.indices.filter(conversation.isTrained)
    return (trainedTurns == .all ? trained : trained.suffix(1)).compactMap { index in
      let message = conversation.messages[index]
      guard
        case .noContent(let place, _, _)? =
          conversation.problem(ofContent: message, role: "assistant", index: index)
      else { return nil }
      return .emptiedTurn(place: place)
    }
  }
}
