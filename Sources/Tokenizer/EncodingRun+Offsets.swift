// Where tokens stand in the text as it was given: through the byte-level alphabet, NFC and whole
// characters, in the order and with the roundings of `tokenizers`.

extension EncodingRun {
  /// Appends an added token that stands at a part of the (normalised) text.
  mutating func appendAddedToken(
    _ id: Int32, _ text: [UInt8], _ part: Range<Int>, sources: [Range<Int>]?
  ) {
    ids.append(id)
    if !keepingOffsets { return }
    var offset = offset(of: part, text, sources)
    if tokenizer.trimsOffsets { offset = trimmed(offset, text[part]) }
    offsets.append(offset)
  }

  /// Appends the offsets of the tokens of one word.
  ///
  /// A token's string has one or two bytes for each byte of text, and tokens follow each other in
  /// the word's string; bytes without a token leave their room to the tokens after them.
  mutating func appendOffsets(
    ofTokensFrom first: Int, _ text: [UInt8], _ word: Range<Int>, sources: [Range<Int>]?
  ) {
    let vocabulary = tokenizer.model.vocabulary
    var (index, stringEnd, tokenEnd) = (word.lowerBound, 0, 0)
    for token in first..<ids.count {
      guard let content = vocabulary.range(of: ids[token]) else { continue }
      let tokenStart = tokenEnd
      tokenEnd += content.count
      // `stringEnd` is where the string of the byte before `index` ends.
      while index < word.upperBound, stringEnd + stringLength(text[index]) <= tokenStart {
        stringEnd += stringLength(text[index])
        index += 1
      }
      var (last, lastEnd) = (index, stringEnd)
      while last < word.upperBound, lastEnd < tokenEnd {
        lastEnd += stringLength(text[last])
        last += 1
      }
      var offset = offset(of: index..<last, text, sources)
      if tokenizer.trimsOffsets { offset = trimmed(offset, vocabulary.contents[content]) }
      offsets.append(offset)
    }
  }

  /// The length of the code point that stands for a byte in vocabulary strings.
  @inline(__always)
  private func stringLength(_ byte: UInt8) -> Int { byte > 0x20 && byte < 0x7F ? 1 : 2 }

  /// Widens a part of the (normalised) text to whole characters and finds it in the original.
  @inline(__always)
  private func offset(of part: Range<Int>, _ text: [UInt8], _ sources: [Range<Int>]?) -> Range<Int>
  {
    if part.isEmpty { return part }
    if let sources {
      let start = sources[part.lowerBound].lowerBound
      return start..<max(start, sources[part.upperBound - 1].upperBound)
    }
    var (start, end) = (part.lowerBound, part.upperBound)
    while start > 0, text[start] & 0xC0 == 0x80 { start -= 1 }
    while end < text.count, text[end] & 0xC0 == 0x80 { end += 1 }
    return start..<end
  }

  /// Takes the whitespace at both ends of a token's string out of its offset, a character for a
  /// character; "Ġ" (U+0120) stands for a space.
  private func trimmed(_ offset: Range<Int>, _ string: ArraySlice<UInt8>) -> Range<Int> {
    func isSpace(_ scalar: Unicode.Scalar) -> Bool {
      scalar.value == 0x120
        || tokenizer.classes[Int(scalar.value)] & UnicodeClasses.space != 0
    }
    let scalars = String(decoding: string, as: UTF8.self).unicodeScalars
    var (start, end) = (offset.lowerBound, offset.upperBound)
    for _ in scalars.prefix(while: isSpace) where start < end {
      start += UTF8Text.length(ofLead: original[start])
    }
    for _ in scalars.reversed().prefix(while: isSpace) where end > start {
      end -= 1
      while end > start, original[end] & 0xC0 == 0x80 { end -= 1 }
    }
    return min(start, end)..<end
  }
}
