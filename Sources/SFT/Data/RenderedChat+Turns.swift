// What the origins of rendered text tell: which text is the template's own, and which message a turn is.

import ChatTemplate
import OrderedJSON

extension RenderedChat {
  /// The text with every byte replaced by 0 that the template did not write itself. Special tokens of the
  /// tokenizer and the names of roles count as the template's.
  var skeleton: [UInt8] {
    var bytes = utf8
    for span in spans {
      switch span.origin {
      case .template: continue
      case .other(let variable) where variable.utf8.suffix(6).elementsEqual("_token".utf8): continue
      case .message(_, "role")
      where bytes[span.range].allSatisfy({ $0 >= 0x61 && $0 <= 0x7A }):
        continue
      default: for index in span.range { bytes[index] = 0 }
      }
    }
    return bytes
  }

  /// The message of each of `ranges`, which are in order and hold what the assistant says; nil where the text
  /// does not tell.
  ///
  /// A range is the message whose role stands in the header before it, else the first of the assistant's whose
  /// text is in it. Where neither is there, as in an empty turn under a header that the template spells out,
  /// ranges and assistant messages must be as many and go by their order.
  func messages(of ranges: [Range<Int>], in conversation: Conversation) -> [Int]? {
    let assistants = conversation.messages.indices.filter {
      conversation.messages[$0]["role"]?.stringValue == "assistant"
    }
    let isAssistant = Set(assistants)
    var found: [Int?] = []
    var first = 0
    for range in ranges {
      while first < spans.count, spans[first].range.upperBound <= range.lowerBound { first += 1 }
      var index: Int?
      // Only the template's own text stands between the role and the turn.
      for span in spans[..<first].reversed() {
        if span.origin == .template { continue }
        if case .message(let message, "role") = span.origin, isAssistant.contains(message) {
          index = message
        }
        break
      }
      for span in spans[first...] {
        guard index == nil, span.range.lowerBound < range.upperBound else { break }
        if case .message(let message, _) = span.origin, isAssistant.contains(message) {
          index = message
        }
      }
      found.append(index)
    }
    let known = found.compactMap { $0 }
    if known.count == found.count { return known }
    guard found.count == assistants.count,
      zip(found, assistants).allSatisfy({ $0 == nil || $0 == $1 })
    else { return nil }
    return assistants
  }
}
