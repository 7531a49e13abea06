// Tokens to text: the bytes of the tokens joined, ill-formed UTF-8 replaced. No clean-up of spaces.

extension Tokenizer {
  /// The text of token ids, as `tokenizers` decodes them: ids without a token are passed over, and
  /// each maximal ill-formed part of the joined bytes becomes U+FFFD.
  ///
  /// - Parameter skipSpecialTokens: whether special tokens are left out.
  public func decode(_ ids: [Int32], skipSpecialTokens: Bool = false) -> String {
    var bytes: [UInt8] = []
    for id in ids { appendBytes(of: id, skipSpecialTokens: skipSpecialTokens, to: &bytes) }
    return String(decoding: bytes, as: UTF8.self)
  }

  /// The bytes that a token stands for; they need not be whole characters.
  public func bytes(of id: Int32) -> [UInt8] {
    var bytes: [UInt8] = []
    appendBytes(of: id, skipSpecialTokens: false, to: &bytes)
    return bytes
  }

  /// Appends the bytes that a token stands for.
  func appendBytes(of id: Int32, skipSpecialTokens: Bool, to bytes: inout [UInt8]) {
    if let spelling = added.spellings[id] {
      if !(skipSpecialTokens && spelling.isLeftOut) { bytes.append(contentsOf: spelling.bytes) }
    } else if let range = model.vocabulary.range(of: id) {
      ByteAlphabet.appendBytes(of: model.vocabulary.contents, range, to: &bytes)
    }
  }
}
