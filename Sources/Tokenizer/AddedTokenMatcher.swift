// Finds added tokens in text: leftmost first, longest of those that start together, none
// overlapping. It is built once for tokens sought in raw text and once for those sought in
// normalised text.

/// A trie over the texts of added tokens.
struct AddedTokenMatcher: Sendable {
  /// What is found or left between: `id` is nil for text between tokens.
  struct Piece {
    /// The token, or nil.
    var id: Int32?
    /// Its bytes in the text.
    var range: Range<Int>
  }

  private struct Node {
    var byte: UInt8
    var token: Int32 = -1
    var firstChild: Int32 = -1
    var nextSibling: Int32 = -1
  }

  private struct Target {
    var id: Int32
    var lstrip: Bool
    var rstrip: Bool
    var isSingleWord: Bool
  }

  private var nodes = [Node(byte: 0)]
  private var targets: [Target] = []
  /// The trie's node for a first byte, −1 where no token starts with it.
  private var roots = [Int32](repeating: -1, count: 256)

  /// Whether there is nothing to find.
  var isEmpty: Bool { targets.isEmpty }

  /// Adds a token; `content` is its text as it is to be found. Of two with one text the first
  /// stays.
  mutating func insert(_ content: [UInt8], id: Int32, token: AddedToken) {
    guard let first = content.first else { return }
    if roots[Int(first)] < 0 {
      roots[Int(first)] = Int32(nodes.count)
      nodes.append(Node(byte: first))
    }
    var node = Int(roots[Int(first)])
    for byte in content.dropFirst() {
      if let child = child(of: node, byte) {
        node = child
      } else {
        nodes.append(Node(byte: byte, nextSibling: nodes[node].firstChild))
        nodes[node].firstChild = Int32(nodes.count - 1)
        node = nodes.count - 1
      }
    }
    if nodes[node].token >= 0 { return }
    nodes[node].token = Int32(targets.count)
    targets.append(
      Target(id: id, lstrip: token.lstrip, rstrip: token.rstrip, isSingleWord: token.isSingleWord))
  }

  /// Calls `body` with the pieces of a part of well-formed text, in order.
  func forEachPiece(
    in text: [UInt8], _ range: Range<Int>, classes: [UInt8], _ body: (Piece) -> Void
  ) {
    var done = range.lowerBound
    var i = range.lowerBound
    while i < range.upperBound {
      if roots[Int(text[i])] < 0 {
        i += 1
        continue
      }
      guard let (token, end) = longestMatch(in: text, i, range.upperBound) else {
        i += 1
        continue
      }
      let target = targets[token]
      var (start, stop) = (i, end)
      i = end
      if target.isSingleWord, touchesWord(text, start..<stop, in: range, classes: classes) {
        continue
      }
      if target.lstrip {
        start = max(startOfSpaces(text, before: start, from: range.lowerBound, classes), done)
      }
      if target.rstrip {
        stop = endOfSpaces(text, from: stop, to: range.upperBound, classes)
      }
      if done < start { body(Piece(id: nil, range: done..<start)) }
      body(Piece(id: target.id, range: start..<stop))
      done = stop
    }
    if done < range.upperBound { body(Piece(id: nil, range: done..<range.upperBound)) }
  }

  private func longestMatch(in text: [UInt8], _ start: Int, _ end: Int) -> (token: Int, end: Int)? {
    var node = Int(roots[Int(text[start])])
    var best: (token: Int, end: Int)?
    var i = start + 1
    while true {
      if nodes[node].token >= 0 { best = (Int(nodes[node].token), i) }
      guard i < end, let child = child(of: node, text[i]) else { return best }
      node = child
      i += 1
    }
  }

  @inline(__always)
  private func child(of node: Int, _ byte: UInt8) -> Int? {
    var child = nodes[node].firstChild
    while child >= 0 {
      if nodes[Int(child)].byte == byte { return Int(child) }
      child = nodes[Int(child)].nextSibling
    }
    return nil
  }

  private func touchesWord(
    _ text: [UInt8], _ match: Range<Int>, in range: Range<Int>, classes: [UInt8]
  ) -> Bool {
    if match.lowerBound > range.lowerBound,
      hasClass(UnicodeClasses.word, text, startOfCharacter(text, before: match.lowerBound), classes)
    {
      return true
    }
    return match.upperBound < range.upperBound
      && hasClass(UnicodeClasses.word, text, match.upperBound, classes)
  }

  private func startOfSpaces(
    _ text: [UInt8], before place: Int, from start: Int, _ classes: [UInt8]
  ) -> Int {
    var i = place
    while i > start {
      let before = startOfCharacter(text, before: i)
      if !hasClass(UnicodeClasses.space, text, before, classes) { break }
      i = before
    }
    return i
  }

  private func endOfSpaces(_ text: [UInt8], from place: Int, to end: Int, _ classes: [UInt8]) -> Int
  {
    var i = place
    while i < end, hasClass(UnicodeClasses.space, text, i, classes) {
      i += UTF8Text.length(ofLead: text[i])
    }
    return i
  }

  private func startOfCharacter(_ text: [UInt8], before place: Int) -> Int {
    var i = place - 1
    while i > 0, text[i] & 0xC0 == 0x80 { i -= 1 }
    return i
  }

  private func hasClass(_ mask: UInt8, _ text: [UInt8], _ place: Int, _ classes: [UInt8]) -> Bool {
    classes[Int(UTF8Text.decode(text, at: place).scalar)] & mask != 0
  }
}
