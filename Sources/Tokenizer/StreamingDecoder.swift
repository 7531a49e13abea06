// Decoding while tokens arrive. It holds back the bytes of an unfinished code point, and nothing
// else.

/// Turns tokens into text one by one; the parts joined are what
/// ``Tokenizer/decode(_:skipSpecialTokens:)`` gives for all of them.
public struct StreamingDecoder: Sendable {
  private let tokenizer: Tokenizer
  private let skipSpecialTokens: Bool
  private var pending: [UInt8] = []

  /// A decoder at the start of a text.
  public init(tokenizer: Tokenizer, skipSpecialTokens: Bool = true) {
    self.tokenizer = tokenizer
    self.skipSpecialTokens = skipSpecialTokens
  }

  /// Takes the next token and returns the text that is certain now; it may be empty.
  public mutating func push(_ id: Int32) -> String {
    tokenizer.appendBytes(of: id, skipSpecialTokens: skipSpecialTokens, to: &pending)
    // An unfinished code point is at most three bytes, at the very end.
    var end = pending.count
    for start in stride(from: pending.count - 1, through: max(pending.count - 3, 0), by: -1) {
      if pending[start] & 0xC0 == 0x80 { continue }
      if UTF8Text.sequenceLength(pending, at: start) == 0 { end = start }
      break
    }
    let text = String(decoding: pending[..<end], as: UTF8.self)
    pending.removeSubrange(..<end)
    return text
  }

  /// Ends the text and returns what was held back: U+FFFD for an unfinished code point, else
  /// nothing.
  public mutating func finish() -> String {
    defer { pending.removeAll() }
    return String(decoding: pending, as: UTF8.self)
  }
}
