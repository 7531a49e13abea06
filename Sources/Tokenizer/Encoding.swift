// The result of encoding with offsets. Offsets are kept in UTF-8 bytes; the other unit is computed
// on demand.

/// Token ids and where in the text each came from.
public struct Encoding: Sendable, Hashable {
  /// The token ids.
  public let ids: [Int32]
  /// For each token, the UTF-8 byte range of the original text it was made from: before NFC, and
  /// always whole code points. Tokens that share a code point have overlapping ranges. A character
  /// that NFC composes from several is counted to the first of them alone (as in `tokenizers`).
  public let offsets: [Range<Int>]

  /// Pairs ids and offsets, of which there must be equally many.
  init(ids: [Int32], offsets: [Range<Int>]) {
    self.ids = ids
    self.offsets = offsets
  }

  /// The offsets counted in code points of the text that was encoded, as Python counts them.
  ///
  /// - Parameter utf8: the text that was encoded. Ranges beyond it are cut at its end.
  public func codePointOffsets(inUTF8 utf8: [UInt8]) -> [Range<Int>] {
    // The number of code points that start before each byte.
    var counts: [Int] = [0]
    var count = 0
    for byte in utf8 {
      if byte & 0xC0 != 0x80 { count += 1 }
      counts.append(count)
    }
    // A range starts at a code point's first byte, where the count is the index, and ends after a
    // last one.
    return offsets.map { range in
      let start = counts[min(range.lowerBound, counts.count - 1)]
      let end = counts[min(range.upperBound, counts.count - 1)]
      return min(start, end)..<max(start, end)
    }
  }

  /// The offsets counted in code points of the text that was encoded.
  public func codePointOffsets(in text: String) -> [Range<Int>] {
    codePointOffsets(inUTF8: Array(text.utf8))
  }
}
