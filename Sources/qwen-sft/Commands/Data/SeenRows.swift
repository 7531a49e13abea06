// Which rows were met before, and where: twelve bytes a row and some room to grow. The rows themselves are not
// kept, so that files may be larger than memory.

/// Rows by digest, each with the place where it was met first.
struct SeenRows: Sendable {
  /// A table with open addressing. There are many small ones, so that growing takes little memory for its copy.
  private struct Shelf {
    private(set) var count = 0
    /// 0 where nothing is kept.
    private var digests: [UInt64] = []
    private var rows: [UInt32] = []

    /// The row kept under `digest`; where there is none, keeps `row` and returns nil.
    mutating func find(_ digest: UInt64, orKeep row: UInt32) -> UInt32? {
      if (count + 1) * 8 > digests.count * 7 { grow() }
      let slot = slot(of: digest)
      if digests[slot] == digest { return rows[slot] }
      (digests[slot], rows[slot]) = (digest, row)
      count += 1
      return nil
    }

    private func slot(of digest: UInt64) -> Int {
      // The top bits chose the shelf.
      var slot = Int(
        (digest &* 0x9E37_79B9_7F4A_7C15).multipliedFullWidth(by: UInt64(digests.count)).high)
      while digests[slot] != 0, digests[slot] != digest {
        slot = slot + 1 == digests.count ? 0 : slot + 1
      }
      return slot
    }

    private mutating func grow() {
      let (oldDigests, oldRows) = (digests, rows)
      let capacity = oldDigests.count / 2 * 3 + 32
      digests = [UInt64](repeating: 0, count: capacity)
      rows = [UInt32](repeating: 0, count: capacity)
      for (digest, row) in zip(oldDigests, oldRows) where digest != 0 {
        let slot = slot(of: digest)
        (digests[slot], rows[slot]) = (digest, row)
      }
    }
  }

  /// A file, or the part of one, whose lines are numbered on from `base`.
  private struct Segment {
    let file: String
    let base: Int
    var lastLine: Int
  }

  private var shelves = [Shelf](repeating: Shelf(), count: 256)
  private var segments: [Segment] = []

  /// Where a row of the same digest was met first; where there was none, keeps this one and returns nil.
  mutating func firstPlace(_ digest: UInt64, file: String, line: Int) -> (file: String, line: Int)?
  {
    let row = number(file: file, line: line)
    // 0 marks free slots.
    let digest = max(digest, 1)
    guard let first = shelves[Int(digest >> 56)].find(digest, orKeep: row) else { return nil }
    return place(of: Int(first))
  }

  /// The number of a line among the lines of all files.
  private mutating func number(file: String, line: Int) -> UInt32 {
    if let last = segments.last, last.file.utf8.elementsEqual(file.utf8), line >= last.lastLine {
      segments[segments.count - 1].lastLine = line
    } else {
      let base = segments.last.map { $0.base + $0.lastLine } ?? 0
      segments.append(Segment(file: file, base: base, lastLine: line))
    }
    return UInt32(clamping: segments[segments.count - 1].base + line)
  }

  private func place(of number: Int) -> (file: String, line: Int) {
    var (low, high) = (0, segments.count)
    while high - low > 1 {
      let middle = (low + high) / 2
      if segments[middle].base < number { low = middle } else { high = middle }
    }
    return (segments[low].file, number - segments[low].base)
  }
}
