// Which part of a file an answer holds.

/// A `Content-Range` header.
struct ContentRange: Equatable {
  /// The first and the last byte.
  let bytes: ClosedRange<Int>
  /// The size of the whole; nil where the server does not say.
  let total: Int?

  /// What `text` says, nil where it is no range of bytes.
  init?(_ text: String) {
    let words = text.split(separator: " ", omittingEmptySubsequences: true)
    guard words.count == 2, words[0].lowercased() == "bytes" else { return nil }
    let halves = words[1].split(separator: "/", omittingEmptySubsequences: false)
    guard halves.count == 2 else { return nil }
    let ends = halves[0].split(separator: "-", omittingEmptySubsequences: false)
    guard ends.count == 2, let first = byteNumber(ends[0]), let last = byteNumber(ends[1]),
      first <= last
    else { return nil }
    if halves[1] == "*" {
      total = nil
    } else {
      guard let count = byteNumber(halves[1]), last < count else { return nil }
      total = count
    }
    bytes = first...last
  }
}
