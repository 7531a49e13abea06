// Text to tokens: added tokens out of the raw text, NFC, added tokens out of the normalised text, words,
// byte pairs. Parallel encoding of many texts is the caller's affair.

import Synchronization

/// The buffers of one encoding run.
struct EncodingWorkspace: Sendable {
  /// Buffers of the byte-pair encoder.
  var scratch = BytePairEncoder.Scratch()
  /// Tokens of words met before.
  var cache = WordCache()
}

extension Tokenizer {
  /// The token ids of a text. Added tokens in it become their ids; nothing is put before or after.
  public func encode(_ text: String) -> [Int32] {
    run(Array(text.utf8), keepingOffsets: false).ids
  }

  /// The token ids of a text in UTF-8, in which each maximal ill-formed part counts as U+FFFD.
  public func encode(utf8: some Sequence<UInt8>) -> [Int32] {
    let bytes = Array(utf8)
    return run(UTF8Text.isWellFormed(bytes) ? bytes : UTF8Text.repaired(bytes), keepingOffsets: false)
      .ids
  }

  /// The token ids of a text and where each came from.
  public func encodeWithOffsets(_ text: String) -> Encoding {
    let run = run(Array(text.utf8), keepingOffsets: true)
    return Encoding(ids: run.ids, offsets: run.offsets)
  }

  /// The token ids of a text in UTF-8 and where each came from.
  ///
  /// In ill-formed text each maximal ill-formed part counts as U+FFFD, and offsets count in the text
  /// with these replacements (three bytes each).
  public func encodeWithOffsets(utf8: some Sequence<UInt8>) -> Encoding {
    let bytes = Array(utf8)
    let text = UTF8Text.isWellFormed(bytes) ? bytes : UTF8Text.repaired(bytes)
    let run = run(text, keepingOffsets: true)
    return Encoding(ids: run.ids, offsets: run.offsets)
  }

  private func run(_ text: [UInt8], keepingOffsets: Bool)
    -> (ids: [Int32], offsets: [Range<Int>])
  {
    let workspace = workspaces.withLock { $0.popLast() } ?? EncodingWorkspace()
    var run = EncodingRun(tokenizer: self, workspace: workspace, keepingOffsets: keepingOffsets)
    run.encode(text)
    let (ids, offsets, used) = (run.ids, run.offsets, run.workspace)
    // The run goes first, so that whoever takes the workspace next is its only owner.
    _ = consume run
    workspaces.withLock { $0.append(used) }
    return (ids, offsets)
  }
}

/// The state of encoding one text.
private struct EncodingRun {
  let tokenizer: Tokenizer
  let keepingOffsets: Bool
  var workspace: EncodingWorkspace
  var ids: [Int32] = []
  var offsets: [Range<Int>] = []

  init(tokenizer: Tokenizer, workspace: consuming EncodingWorkspace, keepingOffsets: Bool) {
    self.tokenizer = tokenizer
    self.workspace = workspace
    self.keepingOffsets = keepingOffsets
  }

  mutating func encode(_ text: [UInt8]) {
    for piece in pieces(of: tokenizer.rawMatcher, text, 0..<text.count) {
      if let id = piece.id {
        ids.append(id)
        if keepingOffsets { offsets.append(piece.range) }
      } else {
        encodePlain(text, piece.range)
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
  private mutating func encodePlain(_ text: [UInt8], _ range: Range<Int>) {
    if tokenizer.normalizes,
      let normalized = Normalization.composed(
        text, range, classes: tokenizer.classes, keepingSources: keepingOffsets)
    {
      let bytes = normalized.bytes
      encodeNormalized(bytes, 0..<bytes.count, sources: normalized.sources)
    } else {
      encodeNormalized(text, range, sources: nil)
    }
  }

  private mutating func encodeNormalized(
    _ text: [UInt8], _ range: Range<Int>, sources: [Range<Int>]?
  ) {
    for piece in pieces(of: tokenizer.normalizedMatcher, text, range) {
      if let id = piece.id {
        ids.append(id)
        if keepingOffsets { appendOffset(text, piece.range, sources) }
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
      if keepingOffsets { appendOffsets(ofTokensFrom: firstToken, text, start..<end, sources) }
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

  /// The offsets of the tokens of one word, which follow each other in it.
  private mutating func appendOffsets(
    ofTokensFrom first: Int, _ text: [UInt8], _ word: Range<Int>, _ sources: [Range<Int>]?
  ) {
    var start = word.lowerBound
    for index in first..<ids.count {
      let vocabulary = tokenizer.model.vocabulary
      guard let content = vocabulary.range(of: ids[index]) else { continue }
      // One code point of the vocabulary string stands for one byte.
      var length = 0
      for i in content where vocabulary.contents[i] & 0xC0 != 0x80 { length += 1 }
      let end = min(start + length, word.upperBound)
      appendOffset(text, start..<end, sources)
      if tokenizer.trimsOffsets { trimLastOffset(vocabulary.contents, content) }
      start = end
    }
  }

  /// Widens a part of the (normalised) text to whole characters and finds it in the original.
  private mutating func appendOffset(
    _ text: [UInt8], _ part: Range<Int>, _ sources: [Range<Int>]?
  ) {
    guard !part.isEmpty else {
      offsets.append(part)
      return
    }
    if let sources {
      let start = sources[part.lowerBound].lowerBound
      offsets.append(start..<max(start, sources[part.upperBound - 1].upperBound))
      return
    }
    var start = part.lowerBound
    while start > 0, text[start] & 0xC0 == 0x80 { start -= 1 }
    var end = part.upperBound
    while end < text.count, text[end] & 0xC0 == 0x80 { end += 1 }
    offsets.append(start..<end)
  }

  /// Takes the spaces at both ends of the last token out of its offset ("Ġ" stands for a space).
  private mutating func trimLastOffset(_ contents: [UInt8], _ token: Range<Int>) {
    guard let offset = offsets.popLast() else { return }
    func isSpace(_ i: Int) -> Bool {
      i >= token.lowerBound && i + 1 < token.upperBound && contents[i] == 0xC4
        && contents[i + 1] == 0xA0
    }
    var (leading, trailing) = (0, 0)
    while isSpace(token.lowerBound + 2 * leading) { leading += 1 }
    while isSpace(token.upperBound - 2 * (trailing + 1)) { trailing += 1 }
    let start = min(offset.lowerBound + leading, offset.upperBound)
    offsets.append(start..<max(offset.upperBound - trailing, start))
  }
}
