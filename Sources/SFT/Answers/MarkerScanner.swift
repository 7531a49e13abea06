// Finding strings in text that arrives piece by piece: what may yet become one of them is held back.

/// Looks for markers in a text that grows.
struct MarkerScanner {
  /// What is known after a piece.
  struct Result {
    /// Text before the marker, or text that can belong to none.
    let text: String
    /// The marker that was found; what follows it is for the next call.
    let marker: Int?
  }

  private var pending: [UInt8] = []

  /// Adds text.
  mutating func push(_ text: String) { pending.append(contentsOf: text.utf8) }

  /// Takes out the text up to the first of `markers`, or as much as can belong to none of them.
  mutating func next(_ markers: [[UInt8]]) -> Result {
    var (first, found) = (pending.count, -1)
    for (index, marker) in markers.enumerated() {
      if let place = Self.place(of: marker, in: pending), place < first {
        (first, found) = (place, index)
      }
    }
    if found >= 0 {
      let text = String(decoding: pending[..<first], as: UTF8.self)
      pending.removeSubrange(..<(first + markers[found].count))
      return Result(text: text, marker: found)
    }
    let held = markers.map { Self.overlap(of: pending, with: $0) }.max() ?? 0
    let text = String(decoding: pending[..<(pending.count - held)], as: UTF8.self)
    pending.removeSubrange(..<(pending.count - held))
    return Result(text: text, marker: nil)
  }

  /// Takes out all that is left.
  mutating func rest() -> String {
    defer { pending = [] }
    return String(decoding: pending, as: UTF8.self)
  }

  private static func place(of marker: [UInt8], in bytes: [UInt8]) -> Int? {
    guard let head = marker.first, bytes.count >= marker.count else { return nil }
    for start in 0...(bytes.count - marker.count)
    where bytes[start] == head && bytes[start..<(start + marker.count)].elementsEqual(marker) {
      return start
    }
    return nil
  }

  /// The length of the longest end of `bytes` that `marker` begins with, shorter than `marker`.
  private static func overlap(of bytes: [UInt8], with marker: [UInt8]) -> Int {
    var length = min(bytes.count, marker.count - 1)
    while length > 0, !bytes.suffix(length).elementsEqual(marker.prefix(length)) { length -= 1 }
    return max(length, 0)
  }
}
