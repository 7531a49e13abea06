// Which tokens of a rendered conversation are trained. Decided on the characters of the text and on where
// they came from, never by searching tokens: look-alikes of markers inside a message are plain text.

/// The trained parts of a rendered conversation.
package enum LossMask {
  /// The header of an assistant turn.
  static let header = Array("<|im_start|>assistant\n".utf8)
  /// The beginning of any turn.
  static let turnStart = Array("<|im_start|>".utf8)
  /// The end of a turn.
  static let turnEnd = Array("<|im_end|>".utf8)

  /// What a template without `{% generation %}` says of a text.
  package struct Turns: Equatable {
    /// For each assistant turn the bytes from the first after its header up to and including `<|im_end|>` and
    /// the newline after it.
    package var ranges: [Range<Int>] = []
    /// Whether the text ends inside the last of them, without `<|im_end|>`.
    package var isLastOpen = false
  }

  /// The assistant turns of `text`.
  ///
  /// - Parameter skeleton: `text` with every byte replaced by 0 that the template did not write itself (the
  ///   name of a role apart). Markers are looked for here, so that a message cannot forge them.
  package static func turns(in text: [UInt8], skeleton: [UInt8]) -> Turns {
    precondition(text.count == skeleton.count, "LossMask: skeleton and text differ in length")
    var turns = Turns()
    var position = 0
    while let start = find(header, in: skeleton, from: position) {
      let content = start + header.count
      let end = find(turnEnd, in: skeleton, from: content)
      let next = find(turnStart, in: skeleton, from: content)
      if let end, next.map({ end < $0 }) ?? true {
        var upper = end + turnEnd.count
        if upper < text.count, text[upper] == 0x0A { upper += 1 }
        turns.ranges.append(content..<upper)
        position = upper
      } else if let next {
        // A turn that ends without <|im_end|>, at the header of the next one.
        if content < next { turns.ranges.append(content..<next) }
        position = next
      } else {
        turns.ranges.append(content..<text.count)
        turns.isLastOpen = true
        break
      }
    }
    return turns
  }

  /// The place of `pattern` in `text` at or after `start`.
  package static func find(_ pattern: [UInt8], in text: [UInt8], from start: Int) -> Int? {
    var index = start
    while index + pattern.count <= text.count {
      if text[index] == pattern[0], text[index..<index + pattern.count].elementsEqual(pattern) {
        return index
      }
      index += 1
    }
    return nil
  }

  /// Whether each token holds a byte of `ranges`, which are in order and do not overlap.
  package static func mask(ranges: [Range<Int>], offsets: [Range<Int>], byteCount: Int) -> [Bool] {
    var isTrained = [Bool](repeating: false, count: byteCount)
    for range in ranges { for index in range { isTrained[index] = true } }
    return offsets.map { range in
      range.clamped(to: 0..<byteCount).contains { isTrained[$0] }
    }
  }

  /// The mask of `{% generation %}` blocks, exactly as transformers' `return_assistant_tokens_mask`: from the
  /// token of a block's first character to the token of its last one.
  ///
  /// That includes its edge cases: a block whose first character no token holds (such as a mark that was
  /// composed with the letter before it) ends the search, and where no token, or the very first one, holds
  /// the last character, all that follows is trained.
  package static func mask(blocks: [Range<Int>], offsets: [Range<Int>], text: [UInt8]) -> [Bool] {
    // The first token that holds each byte.
    var tokenOfByte = [Int](repeating: -1, count: text.count)
    for (token, range) in offsets.enumerated() {
      for index in range.clamped(to: 0..<text.count) where tokenOfByte[index] < 0 {
        tokenOfByte[index] = token
      }
    }
    var mask = [Bool](repeating: false, count: offsets.count)
    for block in blocks {
      guard block.lowerBound < text.count, tokenOfByte[block.lowerBound] >= 0 else { break }
      let first = tokenOfByte[block.lowerBound]
      // The character before the block's end.
      var last = block.upperBound - 1
      guard last >= 0 else { continue }
      while last > 0, text[last] & 0xC0 == 0x80 { last -= 1 }
      let lastToken = tokenOfByte[last]
      let end = lastToken > 0 ? lastToken + 1 : offsets.count
      if first < end { for token in first..<end { mask[token] = true } }
    }
    return mask
  }
}
