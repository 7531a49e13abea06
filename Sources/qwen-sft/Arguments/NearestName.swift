// The known name nearest to a misspelt one.

/// Finding what somebody meant to write.
package enum NearestName {
  /// The name in `known` with the fewest changed letters from `name`; nil where more than half would change.
  package static func find(_ name: String, in known: some Sequence<String>) -> String? {
    var best: (name: String, distance: Int)?
    for candidate in known.sorted() {
      let distance = distance(Array(name.utf8), Array(candidate.utf8))
      if distance < best?.distance ?? Int.max { best = (candidate, distance) }
    }
    guard let best, best.distance <= max(1, name.utf8.count / 2) else { return nil }
    return best.name
  }

  /// The number of insertions, deletions, replacements and swaps of neighbours that turn `a` into `b`.
  package static func distance(_ a: [UInt8], _ b: [UInt8]) -> Int {
    // Names are short; an argument of any length is compared by its beginning.
    let (a, b) = (Array(a.prefix(128)), Array(b.prefix(128)))
    if a.isEmpty || b.isEmpty { return max(a.count, b.count) }
    var beforeLast = [Int](repeating: 0, count: b.count + 1)
    var last = Array(0...b.count)
    for i in a.indices {
      var row = [i + 1] + [Int](repeating: 0, count: b.count)
      for j in b.indices {
        row[j + 1] = min(last[j + 1] + 1, row[j] + 1, last[j] + (a[i] == b[j] ? 0 : 1))
        if i > 0, j > 0, a[i] == b[j - 1], a[i - 1] == b[j] {
          row[j + 1] = min(row[j + 1], beforeLast[j - 1] + 1)
        }
      }
      (beforeLast, last) = (last, row)
    }
    return last[b.count]
  }
}
