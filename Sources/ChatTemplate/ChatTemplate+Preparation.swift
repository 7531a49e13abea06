// What transformers does to messages before a template sees them. Parsing tool-call arguments that are
// JSON in a string is the caller's business: transformers does not do it either.

public import OrderedJSON

extension ChatTemplate {
  /// Messages as `apply_chat_template` hands them to the template.
  ///
  /// Keys with a null value are dropped from each message (not deeper). The first of `reasoning_content`,
  /// `thinking` and `reasoning` that a message has becomes its `reasoning_content`, at its own place or
  /// last, and its `thinking` where it has none, in front of the other keys. Source: transformers 5.23,
  /// `tokenization_utils_base.py` and `chat_template_utils.py`.
  ///
  /// Throws `TemplateError.input` for no messages, or for a message that is not an object.
  public static func prepare(messages: [JSON]) throws(TemplateError) -> [JSON] {
    guard !messages.isEmpty else {
      throw .input(subject: "messages", expected: "at least one message", actual: "an empty list")
    }
    var prepared: [JSON] = []
    prepared.reserveCapacity(messages.count)
    for (place, message) in messages.enumerated() {
      guard case .object(let object) = message else {
        throw .input(
          subject: "message \(place)", expected: "an object with role and content",
          actual: message.kindDescription)
      }
      prepared.append(.object(prepare(object)))
    }
    return prepared
  }

  private static func prepare(_ message: JSONObject) -> JSONObject {
    var result = JSONObject()
    result.reserveCapacity(message.count + 1)
    var reasoning: JSON?
    for field in ["reasoning_content", "thinking", "reasoning"] where reasoning == nil {
      if let value = message[field], !value.isNull { reasoning = value }
    }
    if let reasoning { result["thinking"] = reasoning }
    for (key, value) in message where !value.isNull { result[key] = value }
    if let reasoning { result["reasoning_content"] = reasoning }
    return result
  }
}
