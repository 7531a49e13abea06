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
      if case .string(let text)? = message["content"] {
        message["content"] = .string(Self.withoutThinking(text))
      }
      return message
    }
    return replacing(messages: stripped)
  }

  /// What follows the last `</think>`, without the newlines between.
  private static func withoutThinking(_ text: String) -> String {
    let bytes = Array(text.utf8)
    let marker = Array("</think>".utf8)
    var start = 0
    while let found = LossMask.find(marker, in: bytes, from: start) { start = found + marker.count }
    if start == 0 { return text }
    while start < bytes.count, bytes[start] == 0x0A { start += 1 }
    return String(decoding: bytes[start...], as: UTF8.self)
  }
}
