// The added tokens of a tokenizer: their ids and which are special. Ids are given out as
// `tokenizers` does, whatever the files say: a text that is in the vocabulary keeps its id, any
// other gets the next one.

/// The added tokens of a tokenizer.
struct AddedVocabulary: Sendable {
  /// The added tokens by id.
  private(set) var tokens: [Int32: AddedToken] = [:]
  /// How the added tokens are spelled in decoded text, by id.
  private(set) var spellings: [Int32: Spelling] = [:]

  private var ids: [[UInt8]: Int32] = [:]
  private var special: Set<[UInt8]> = []
  private var order: [[UInt8]] = []
  private var greatestID: Int32 = -1

  /// How an added token is spelled in decoded text.
  struct Spelling: Sendable {
    /// Its string: in NFC if it is sought in normalised text.
    var content: [UInt8]
    /// The bytes that the string stands for.
    var bytes: [UInt8]
    /// Whether it is left out with the special tokens. `tokenizers` asks that of `content`, so that
    /// a special token whose text NFC changes stays.
    var isLeftOut: Bool
  }

  /// The id of an added token.
  func id(of content: [UInt8]) -> Int32? { ids[content] }

  /// The number of added tokens that the model's vocabulary does not have.
  func countBeyond(_ vocabulary: Vocabulary) -> Int {
    ids.keys.count { vocabulary.id(of: $0) == nil }
  }

  /// Adds a token, or changes the flags of one that is there. Special stays special.
  mutating func add(_ token: AddedToken, vocabulary: Vocabulary) {
    let content = Array(token.content.utf8)
    if content.isEmpty { return }
    if token.isSpecial { special.insert(content) }
    let id: Int32
    if let known = ids[content] ?? vocabulary.id(of: content) {
      id = known
    } else {
      id = max(Int32(truncatingIfNeeded: vocabulary.count), greatestID + 1)
    }
    if ids[content] == nil { order.append(content) }
    ids[content] = id
    greatestID = max(greatestID, id)
    var token = token
    token.isSpecial = special.contains(content)
    tokens[id] = token
  }

  /// Works out the spellings and returns the matchers for raw text and for normalised text. To be
  /// called when all tokens are added.
  mutating func finish(normalizes: Bool, classes: [UInt8]) -> (
    raw: AddedTokenMatcher, normalized: AddedTokenMatcher
  ) {
    var raw = AddedTokenMatcher()
    var normalized = AddedTokenMatcher()
    // Special tokens come first: of two patterns that are equal, the first one is found.
    for content in order.filter(special.contains) + order.filter({ !special.contains($0) }) {
      guard let id = ids[content], let token = tokens[id] else { continue }
      var text = content
      if token.isNormalized, normalizes,
        let changed = Normalization.composed(
          content, 0..<content.count, classes: classes, keepingSources: false)
      {
        text = changed.bytes
      }
      if token.isNormalized {
        normalized.insert(text, id: id, token: token)
      } else {
        raw.insert(text, id: id, token: token)
      }
      var spelling = Spelling(content: text, bytes: [], isLeftOut: special.contains(text))
      ByteAlphabet.appendBytes(of: text, 0..<text.count, to: &spelling.bytes)
      spellings[id] = spelling
    }
    return (raw, normalized)
  }
}
