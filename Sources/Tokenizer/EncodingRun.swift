// One text on its way to tokens, step by step. Which steps there are the tokenizer says; where
// tokens stand in the original is worked out in EncodingRun+Offsets.swift.

/// The state of encoding one text.
struct EncodingRun {
  /// Whose model and settings hold.
  let tokenizer: Tokenizer
  /// Whether `offsets` is filled.
  let keepingOffsets: Bool
  /// The text as it was given.
  let original: [UInt8]
  /// Buffers and cache, to be given back.
  var workspace: EncodingWorkspace
  /// The tokens so far.
  var ids: [Int32] = []
  /// Their places in `original`, if they are kept.
  var offsets: [Range<Int>] = []

  /// A run at the start of a text.
  init(
    tokenizer: Tokenizer, original: [UInt8], workspace: consuming EncodingWorkspace,
    keepingOffsets: Bool
  ) {
    self.tokenizer = tokenizer
    self.original = original
    self.workspace = workspace
    self.keepingOffsets = keepingOffsets
  }

  /// Encodes the text.
  mutating func encode() {
    for piece in pieces(of: tokenizer.rawMatcher, original, 0..<original.count) {
      if let id = piece.id {
        appendAddedToken(id, original, piece.range, sources: nil)
      } else {
        encodePlain(piece.range)
      }
    }
  }

  private func pieces(of matcher: AddedTokenMatcher, _ text: [UInt8], _ range: Range<Int>)
    -> [AddedTokenMatcher.Piece]
  {
    if matcher.isEmpty { return [AddedTokenMatcher.Piece(id: nil, range: range)] }
    var pieces: [AddedTokenMatcher.Piece] = []
    matcher.forEachPiece(in: text, range, classes: tokenizer.classes) { pieces.append($0) }
    return pieces
  }

  /// Encodes text without raw added tokens.
  private mutating func encodePlain(_ range: Range<Int>) {
    if tokenizer.normalizes,
      let normalized = Normalization.composed(
        original, range, classes: tokenizer.classes, keepingSources: keepingOffsets)
    {
      let bytes = normalized.bytes
      encodeNormalized(bytes, 0..<bytes.count, sources: normalized.sources)
    } else {
      encodeNormalized(original, range, sources: nil)
    }
  }

  private mutating func encodeNormalized(
    _ text: [UInt8], _ range: Range<Int>, sources: [Range<Int>]?
  ) {
    for piece in pieces(of: tokenizer.normalizedMatcher, text, range) {
      if let id = piece.id {
        appendAddedToken(id, text, piece.range, sources: sources)
      } else {
        encodeWords(text, piece.range, sources: sources)
      }
    }
  }

  private mutating func encodeWords(
    _ text: [UInt8], _ range: Range<Int>, sources: [Range<Int>]?
  ) {
    let pattern = tokenizer.pattern
    let classes = tokenizer.classes
    var start = range.lowerBound
    while start < range.upperBound {
      let end = pattern.endOfWord(in: text, from: start, to: range.upperBound, classes: classes)
      let firstToken = ids.count
      encodeWord(text, start..<end)
      if keepingOffsets {
        appendOffsets(ofTokensFrom: firstToken, text, start..<end, sources: sources)
      }
      start = end
    }
  }

  @inline(__always)
  private mutating func encodeWord(_ text: [UInt8], _ word: Range<Int>) {
    let model = tokenizer.model
    guard word.count > 1, word.count <= WordCache.maximumByteCount else {
      model.encode(text, word, scratch: &workspace.scratch, into: &ids)
      return
    }
    let key = WordCache.key(of: text, word)
    let slot = WordCache.slot(of: key)
    let entry = workspace.cache.entries[slot]
    if entry.key == key, Int(entry.byteCount) == word.count {
      for lane in 0..<Int(entry.count) { ids.append(entry.ids[lane]) }
      return
    }
    let first = ids.count
    model.encode(text, word, scratch: &workspace.scratch, into: &ids)
    workspace.cache.store(key, slot: slot, byteCount: word.count, ids: ids[first...])
  }
}
