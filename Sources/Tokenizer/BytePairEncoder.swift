// Byte-pair encoding of one word: the earliest merge first, the leftmost of equals. It knows
// neither how text is cut into words nor added tokens.

/// The model of a tokenizer: vocabulary, merges and the tokens of single bytes.
struct BytePairEncoder: Sendable {
  /// The token strings.
  let vocabulary: Vocabulary
  let merges: MergeTable
  /// The token of each byte, −1 where the vocabulary has none.
  private let byteIDs: [Int32]
  /// Whether a word that is a token is not merged up from its bytes.
  private let ignoresMerges: Bool

  /// Words up to this many bytes are merged by scanning, longer ones with a heap.
  private static let longestScannedWord = 48

  /// Buffers of one encoding run.
  struct Scratch: Sendable {
    fileprivate var symbols: [Int32] = []
    fileprivate var candidates: [UInt64] = []
    fileprivate var previous: [Int32] = []
    fileprivate var next: [Int32] = []
    fileprivate var queue = MergeQueue()
  }

  /// Joins the parts of a model.
  init(vocabulary: Vocabulary, merges: MergeTable, ignoresMerges: Bool) {
    self.vocabulary = vocabulary
    self.merges = merges
    self.ignoresMerges = ignoresMerges
    byteIDs = ByteAlphabet.scalars.map { scalar in
      var content: [UInt8] = []
      UTF8Text.append(scalar, to: &content)
      return vocabulary.id(of: content) ?? -1
    }
  }

  /// The bytes that the vocabulary has no token for. They are left out of encoded text, as in
  /// `tokenizers`.
  var missingBytes: [UInt8] {
    (0...255).filter { byteIDs[Int($0)] < 0 }
  }

  /// Appends the tokens of one word. Time is O(n log n) in its bytes, and memory linear.
  @inline(__always)
  func encode(
    _ text: [UInt8], _ word: Range<Int>, scratch: inout Scratch, into ids: inout [Int32]
  ) {
    if word.count == 1 {
      let id = byteIDs[Int(text[word.lowerBound])]
      if id >= 0 { ids.append(id) }
      return
    }
    if ignoresMerges, let id = vocabulary.id(of: ByteAlphabet.string(of: text, word)) {
      ids.append(id)
      return
    }
    scratch.symbols.removeAll(keepingCapacity: true)
    for i in word {
      let id = byteIDs[Int(text[i])]
      if id >= 0 { scratch.symbols.append(id) }
    }
    if scratch.symbols.count <= Self.longestScannedWord {
      mergeByScanning(&scratch)
      ids.append(contentsOf: scratch.symbols)
    } else {
      mergeWithQueue(&scratch)
      for id in scratch.symbols where id >= 0 { ids.append(id) }
      // One hostile word must not keep its buffers for the life of the tokenizer.
      if scratch.symbols.count > 1 << 16 { scratch = Scratch() }
    }
  }

  /// Merges `scratch.symbols` in place; quadratic, for short words.
  private func mergeByScanning(_ scratch: inout Scratch) {
    var count = scratch.symbols.count
    if count < 2 { return }
    scratch.candidates.removeAll(keepingCapacity: true)
    for i in 1..<count {
      scratch.candidates.append(merges.merge(scratch.symbols[i - 1], scratch.symbols[i]))
    }
    while count > 1 {
      var best = MergeTable.none
      var place = 0
      for i in 0..<(count - 1) where scratch.candidates[i] < best {
        best = scratch.candidates[i]
        place = i
      }
      if best == MergeTable.none { break }
      scratch.symbols[place] = MergeTable.mergedID(best)
      count -= 1
      for i in (place + 1)..<max(count, place + 1) {
        scratch.symbols[i] = scratch.symbols[i + 1]
        scratch.candidates[i - 1] = scratch.candidates[i]
      }
      if place > 0 {
        scratch.candidates[place - 1] = merges.merge(
          scratch.symbols[place - 1], scratch.symbols[place])
      }
      if place + 1 < count {
        scratch.candidates[place] = merges.merge(
          scratch.symbols[place], scratch.symbols[place + 1])
      }
    }
    scratch.symbols.removeLast(scratch.symbols.count - count)
  }

  /// Merges `scratch.symbols` in place with a heap over a linked list; symbols that were merged
  /// into their left neighbour become −1.
  private func mergeWithQueue(_ scratch: inout Scratch) {
    let count = scratch.symbols.count
    precondition(count <= Int32.max, "BytePairEncoder: a word of \(count) bytes, over 2 GiB")
    scratch.previous = Array(-1..<Int32(count - 1))
    scratch.next = Array(1...Int32(count))
    scratch.queue.fill(scratch.symbols, merges)
    while let (rank, left) = scratch.queue.pop() {
      let right = Int(scratch.next[left])
      // A queued merge is stale if either symbol has merged with another one since.
      guard scratch.symbols[left] >= 0, right < count else { continue }
      let merge = merges.merge(scratch.symbols[left], scratch.symbols[right])
      guard merge != MergeTable.none, MergeTable.rank(merge) == rank else { continue }
      scratch.symbols[left] = MergeTable.mergedID(merge)
      scratch.symbols[right] = -1
      let after = Int(scratch.next[right])
      scratch.next[left] = Int32(after)
      if after < count {
        scratch.previous[after] = Int32(left)
        scratch.queue.push(
          merges.merge(scratch.symbols[left], scratch.symbols[after]), at: left)
      }
      let before = Int(scratch.previous[left])
      if before >= 0 {
        scratch.queue.push(
          merges.merge(scratch.symbols[before], scratch.symbols[left]), at: before)
      }
    }
  }
}
