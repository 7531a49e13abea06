// Cuts text into words as the split regular expressions of the Qwen tokenizers do, by hand: one
// look at each character, no backtracking. It implements three known expressions and no others.

/// A split expression that is implemented.
enum SplitPattern: Sendable, Hashable {
  /// Qwen 1.5 to Qwen 3.
  case qwen2
  /// Qwen 3.5: marks belong to words.
  case qwen35
  /// The expression inside `ByteLevel(use_regex: true)`.
  case gpt2

  /// The pattern of a regular expression as tokenizer.json has it, or nil if it is none of ours.
  init?(expression: String) {
    switch Array(expression.utf8) {
    case Array(Self.qwen2Expression.utf8): self = .qwen2
    case Array(Self.qwen35Expression.utf8): self = .qwen35
    default: return nil
    }
  }

  private static let qwen2Expression =
    #"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"#
    + #"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"#
  private static let qwen35Expression =
    #"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}"#
    + #"| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"#

  /// The end of the word that starts at `start`, in well-formed text that ends at `end`.
  @inline(__always)
  func endOfWord(in text: [UInt8], from start: Int, to end: Int, classes: [UInt8]) -> Int {
    let scanner = WordScanner(text: text, end: end, classes: classes)
    return switch self {
    case .qwen2: scanner.qwenWord(from: start, letters: UnicodeClasses.letter)
    case .qwen35:
      scanner.qwenWord(from: start, letters: UnicodeClasses.letter | UnicodeClasses.mark)
    case .gpt2: scanner.gpt2Word(from: start)
    }
  }
}

/// A view of the text for one word.
private struct WordScanner {
  let text: [UInt8]
  let end: Int
  let classes: [UInt8]

  private static let newlines: (UInt8, UInt8) = (0x0A, 0x0D)

  /// Classes and length of the character at `i`.
  @inline(__always)
  private func character(at i: Int) -> (flags: UInt8, length: Int) {
    let byte = text[i]
    if byte < 0x80 { return (classes[Int(byte)], 1) }
    let (scalar, length) = UTF8Text.decode(text, at: i)
    return (classes[Int(scalar)], length)
  }

  @inline(__always)
  private func isNewline(_ byte: UInt8) -> Bool {
    byte == Self.newlines.0 || byte == Self.newlines.1
  }

  /// The first place from `i` on whose character has none of the classes.
  @inline(__always)
  private func endOfRun(of mask: UInt8, from start: Int) -> Int {
    var i = start
    while i < end {
      let (flags, length) = character(at: i)
      if flags & mask == 0 { break }
      i += length
    }
    return i
  }

  /// The first place from `i` on whose character has any of the classes.
  @inline(__always)
  private func endOfRun(without mask: UInt8, from start: Int) -> Int {
    var i = start
    while i < end {
      let (flags, length) = character(at: i)
      if flags & mask != 0 { break }
      i += length
    }
    return i
  }

  @inline(__always)
  func qwenWord(from start: Int, letters: UInt8) -> Int {
    let (flags, length) = character(at: start)
    let first = text[start]
    let second = start + length
    if flags & letters != 0 { return endOfRun(of: letters, from: second) }
    if flags & UnicodeClasses.number != 0 { return second }
    if first == UInt8(ascii: "'"), let contraction = contraction(at: second, ignoringCase: true) {
      return contraction
    }
    // One character that is no line break may lead a run of letters.
    if second < end, !isNewline(first) {
      let (nextFlags, nextLength) = character(at: second)
      if nextFlags & letters != 0 { return endOfRun(of: letters, from: second + nextLength) }
    }
    // Punctuation, with a space before it and line breaks after it.
    let excluded = UnicodeClasses.space | UnicodeClasses.number | letters
    let symbols = first == UInt8(ascii: " ") ? second : start
    var i = endOfRun(without: excluded, from: symbols)
    if i > symbols {
      while i < end, isNewline(text[i]) { i += 1 }
      return i
    }
    return whitespace(from: start, keepingLineBreaks: true)
  }

  @inline(__always)
  func gpt2Word(from start: Int) -> Int {
    let first = text[start]
    if first == UInt8(ascii: "'"), let end = contraction(at: start + 1, ignoringCase: false) {
      return end
    }
    let body = first == UInt8(ascii: " ") ? start + 1 : start
    if body < end {
      let (flags, length) = character(at: body)
      let kind = flags & (UnicodeClasses.letter | UnicodeClasses.number)
      if kind != 0 { return endOfRun(of: kind, from: body + length) }
      if flags & UnicodeClasses.space == 0 {
        let excluded = UnicodeClasses.space | UnicodeClasses.number | UnicodeClasses.letter
        return endOfRun(without: excluded, from: body + length)
      }
    }
    return whitespace(from: start, keepingLineBreaks: false)
  }

  /// `\s*[\r\n]+` if line breaks are kept, then `\s+(?!\S)`, then `\s+`.
  private func whitespace(from start: Int, keepingLineBreaks: Bool) -> Int {
    var i = start
    var last = start
    var afterLineBreak = start
    while i < end {
      let (flags, length) = character(at: i)
      if flags & UnicodeClasses.space == 0 { break }
      last = i
      i += length
      if isNewline(text[last]) { afterLineBreak = i }
    }
    if keepingLineBreaks, afterLineBreak > start { return afterLineBreak }
    // The last space before a word belongs to the word.
    return i < end && last > start ? last : i
  }

  /// The end of 's, 't, 're, 've, 'm, 'll or 'd, given the place after the apostrophe.
  private func contraction(at place: Int, ignoringCase: Bool) -> Int? {
    guard place < end else { return nil }
    let fold: UInt8 = ignoringCase ? 0x20 : 0
    switch text[place] | fold {
    case UInt8(ascii: "s"), UInt8(ascii: "t"), UInt8(ascii: "m"), UInt8(ascii: "d"):
      return place + 1
    case UInt8(ascii: "r"), UInt8(ascii: "v"):
      return place + 1 < end && text[place + 1] | fold == UInt8(ascii: "e") ? place + 2 : nil
    case UInt8(ascii: "l"):
      return place + 1 < end && text[place + 1] | fold == UInt8(ascii: "l") ? place + 2 : nil
    case 0xC5 | fold:
      // U+017F, the long s, is an s to a pattern that ignores case.
      guard ignoringCase, place + 1 < end else { return nil }
      return text[place] == 0xC5 && text[place + 1] == 0xBF ? place + 2 : nil
    default: return nil
    }
  }
}
