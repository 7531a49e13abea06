// Putting short rows together. Documents stay documents: positions restart and attention ends at their borders.

/// Packing of rows into bins of a given number of tokens.
package enum RowPacking {
  /// The rows that go through the model together: bins of packed rows, or single ones.
  package static func units(of rows: [EncodedRow], config: TrainingConfig) -> [[Int]] {
    guard config.packing else { return rows.indices.map { [$0] } }
    let lengths = rows.map(\.inputIDs.count)
    return bestFitDecreasing(lengths, capacity: max(config.maxSeqLength, lengths.max() ?? 0))
  }

  /// Best fit decreasing, as TRL's "bfd": the longest rows first, each into the bin with the least room that is
  /// enough; of bins with equal room the one that has had it longest. Rows must be no longer than `capacity`.
  ///
  /// - Returns: the rows of each bin in the order in which they came, bins in the order in which they were opened.
  package static func bestFitDecreasing(_ lengths: [Int], capacity: Int) -> [[Int]] {
    var bins: [[Int]] = []
    var binsByRoom: [Int: Queue] = [:]
    var rooms: [Int] = []  // the keys of binsByRoom, ascending
    let order = lengths.indices.sorted {
      lengths[$0] != lengths[$1] ? lengths[$0] > lengths[$1] : $0 < $1
    }
    for row in order {
      let length = lengths[row]
      precondition(length <= capacity, "packing: a row of \(length) tokens, bins of \(capacity)")
      var room = capacity
      let bin: Int
      let place = rooms.partitioningIndex { $0 >= length }
      if place < rooms.count, let first = binsByRoom[rooms[place]]?.takeFirst() {
        room = rooms[place]
        bin = first
        if binsByRoom[room]?.isEmpty == true {
          binsByRoom[room] = nil
          rooms.remove(at: place)
        }
        bins[bin].append(row)
      } else {
        bin = bins.count
        bins.append([row])
      }
      room -= length
      guard room > 0 else { continue }
      if binsByRoom[room] == nil { rooms.insert(room, at: rooms.partitioningIndex { $0 >= room }) }
      binsByRoom[room, default: Queue()].append(bin)
    }
    return bins
  }

  /// Bins in the order in which they came to have some room.
  private struct Queue {
    private var bins: [Int] = []
    private var taken = 0

    var isEmpty: Bool { taken == bins.count }

    mutating func append(_ bin: Int) { bins.append(bin) }

    mutating func takeFirst() -> Int? {
      guard !isEmpty else { return nil }
      taken += 1
      return bins[taken - 1]
    }
  }
}

extension Array {
  /// The first index whose element satisfies `predicate`, which no element before and every one after does.
  fileprivate func partitioningIndex(_ predicate: (Element) -> Bool) -> Int {
    var (low, high) = (0, count)
    while low < high {
      let middle = (low + high) / 2
      if predicate(self[middle]) { high = middle } else { low = middle + 1 }
    }
    return low
  }
}
