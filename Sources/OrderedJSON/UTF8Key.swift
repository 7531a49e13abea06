// Swift compares strings by canonical equivalence, so that "é" finds "e\u{301}". Names in files are bytes.

/// A string as a key of sets and dictionaries, compared by its UTF-8 bytes.
package struct UTF8Key: Hashable, Sendable {
  /// The string.
  package let text: String

  /// The key of `text`.
  package init(_ text: String) { self.text = text }

  /// Whether both strings are the same bytes.
  package static func == (left: UTF8Key, right: UTF8Key) -> Bool {
    let (a, b) = (left.text.utf8, right.text.utf8)
    return a.count == b.count && a.elementsEqual(b)
  }

  /// Eight bytes at a time into the seeded hasher, so that chosen keys cannot make a table slow.
  package func hash(into hasher: inout Hasher) {
    var word: UInt64 = 0
    var filled = 0
    for byte in text.utf8 {
      word = word << 8 | UInt64(byte)
      filled += 1
      if filled == 8 {
        hasher.combine(word)
        (word, filled) = (0, 0)
      }
    }
    hasher.combine(word)
    hasher.combine(UInt8(filled))
  }
}
