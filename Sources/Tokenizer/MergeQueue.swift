// The queue of possible merges of a long word: a heap of four children a node, earliest merge first, leftmost of
// equals. Whether an entry is still valid is the encoder's question.

/// A min-heap of merge ranks and their places, eight bytes an entry.
struct MergeQueue: Sendable {
  /// Rank in the upper half, place in the lower: a word has fewer than 2³² symbols.
  private var heap: [UInt64] = []

  /// Becomes the queue of the merges of neighbouring `symbols`. Time is linear.
  mutating func fill(_ symbols: [Int32], _ merges: MergeTable) {
    heap.removeAll(keepingCapacity: true)
    for place in 0..<max(symbols.count - 1, 0) {
      let merge = merges.merge(symbols[place], symbols[place + 1])
      if merge != MergeTable.none { heap.append(Self.entry(merge, place)) }
    }
    var parent = (heap.count + 2) / 4
    while parent > 0 {
      parent -= 1
      sift(heap[parent], downFrom: parent)
    }
  }

  /// Adds a merge unless it is `MergeTable.none`.
  mutating func push(_ merge: UInt64, at place: Int) {
    if merge == MergeTable.none { return }
    let entry = Self.entry(merge, place)
    var child = heap.count
    heap.append(entry)
    while child > 0 {
      let parent = (child - 1) / 4
      if heap[parent] <= entry { break }
      heap[child] = heap[parent]
      child = parent
    }
    heap[child] = entry
  }

  /// Takes the first merge out.
  mutating func pop() -> (rank: UInt32, place: Int)? {
    guard let first = heap.first, let last = heap.popLast() else { return nil }
    if !heap.isEmpty { sift(last, downFrom: 0) }
    return (UInt32(truncatingIfNeeded: first >> 32), Int(UInt32(truncatingIfNeeded: first)))
  }

  @inline(__always)
  private static func entry(_ merge: UInt64, _ place: Int) -> UInt64 {
    UInt64(MergeTable.rank(merge)) << 32 | UInt64(place)
  }

  /// Puts `entry` in the place of `parent`, or as far below it as it belongs.
  private mutating func sift(_ entry: UInt64, downFrom parent: Int) {
    var parent = parent
    while true {
      let first = 4 * parent + 1
      if first >= heap.count { break }
      var child = first
      for other in (first + 1)..<max(min(first + 4, heap.count), first + 1)
      where heap[other] < heap[child] { child = other }
      if entry <= heap[child] { break }
      heap[parent] = heap[child]
      parent = child
    }
    heap[parent] = entry
  }
}
