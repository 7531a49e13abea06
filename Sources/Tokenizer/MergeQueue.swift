// The queue of possible merges of a long word: a binary heap, earliest merge first, leftmost of
// equals. Whether an entry is still valid is the encoder's question.

/// A binary min-heap of merges and their places.
struct MergeQueue: Sendable {
  private struct Entry {
    var merge: UInt64
    var place: Int

    @inline(__always)
    func precedes(_ other: Entry) -> Bool {
      merge < other.merge || (merge == other.merge && place < other.place)
    }
  }

  private var heap: [Entry] = []

  /// Empties the queue.
  mutating func removeAll() { heap.removeAll(keepingCapacity: true) }

  /// Adds a merge unless it is `MergeTable.none`.
  mutating func push(_ merge: UInt64, at place: Int) {
    if merge == MergeTable.none { return }
    let entry = Entry(merge: merge, place: place)
    var child = heap.count
    heap.append(entry)
    while child > 0 {
      let parent = (child - 1) / 2
      if !entry.precedes(heap[parent]) { break }
      heap[child] = heap[parent]
      child = parent
    }
    heap[child] = entry
  }

  /// Takes the first merge out.
  mutating func pop() -> (merge: UInt64, place: Int)? {
    guard let first = heap.first, let entry = heap.popLast() else { return nil }
    if heap.isEmpty { return (first.merge, first.place) }
    var parent = 0
    while true {
      var child = 2 * parent + 1
      if child >= heap.count { break }
      if child + 1 < heap.count, heap[child + 1].precedes(heap[child]) { child += 1 }
      if !heap[child].precedes(entry) { break }
      heap[parent] = heap[child]
      parent = child
    }
    heap[parent] = entry
    return (first.merge, first.place)
  }
}
