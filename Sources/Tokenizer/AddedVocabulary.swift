// The added tokens of a tokenizer: their ids and which are special. Ids are given out as `tokenizers` does,
// whatever the files say: a text that is in the vocabulary keeps its id, any other gets the next one.

/// The added tokens of a tokenizer.
struct AddedVocabulary: Sendable {
  /// The added tokens by id.
  private(set) var tokens: [Int32: AddedToken] = [:]
  private var ids: [[UInt8]: Int32] = [:]
  private var special: Set<[UInt8]> = []
  private var order: [[UInt8]] = []
  private var greatestID: Int32 = -1

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

  /// The matchers for raw text and for normalised text.
  func matchers(normalizes: Bool, classes: [UInt8]) -> (
    raw: AddedTokenMatcher, normalized: AddedTokenMatcher
  ) {
    var raw = AddedTokenMatcher()
    var normalized = AddedTokenMatcher()
    // Special tokens come first: of two patterns that are equal, the first one is found.
    for content in order.filter(special.contains) + order.filter({ !special.contains($0) }) {
      guard let id = ids[content], let token = tokens[id] else { continue }
      if !token.isNormalized {
        raw.insert(content, id: id, token: token)
      } else if normalizes,
        let text = Normalization.composed(
          content, 0..<content.count, classes: classes, keepingSources: false)
      {
        normalized.insert(text.bytes, id: id, token: token)
      } else {
        normalized.insert(content, id: id, token: token)
      }
    }
    return (raw, normalized)
  }
}
