// Patterns of file names as Python's fnmatch has them, which huggingface_hub's --include and --exclude follow.

/// A pattern: `*` is any text, slashes too, `?` any character, `[abc]` one of them, `[!abc]` none of them.
package struct FilePattern: Sendable, Hashable {
  private enum Part: Sendable, Hashable {
    case text(Unicode.Scalar)
    case anyCharacter
    case anyText
    case set([ClosedRange<UInt32>], isNegated: Bool)
  }

  private let parts: [Part]

  /// The pattern that `text` is. One that ends with a slash means all that is in the folder.
  package init(_ text: String) {
    let scalars = Array((text.utf8.last == 0x2F ? text + "*" : text).unicodeScalars)
    var parts: [Part] = []
    var index = 0
    while index < scalars.count {
      let scalar = scalars[index]
      index += 1
      switch scalar {
      case "*": if parts.last != .anyText { parts.append(.anyText) }
      case "?": parts.append(.anyCharacter)
      case "[":
        if let (set, next) = Self.set(scalars, from: index) {
          parts.append(set)
          index = next
        } else {
          parts.append(.text(scalar))
        }
      default: parts.append(.text(scalar))
      }
    }
    self.parts = parts
  }

  /// The set that begins after a bracket, and what follows it; nil where the bracket is never closed.
  private static func set(_ scalars: [Unicode.Scalar], from start: Int) -> (Part, next: Int)? {
    var end = start
    if end < scalars.count, scalars[end] == "!" { end += 1 }
    let first = end
    if end < scalars.count, scalars[end] == "]" { end += 1 }
    while end < scalars.count, scalars[end] != "]" { end += 1 }
    guard end < scalars.count else { return nil }
    var ranges: [ClosedRange<UInt32>] = []
    var index = first
    while index < end {
      let lower = scalars[index].value
      if index + 2 < end, scalars[index + 1] == "-" {
        let upper = scalars[index + 2].value
        if lower <= upper { ranges.append(lower...upper) }
        index += 3
      } else {
        ranges.append(lower...lower)
        index += 1
      }
    }
    return (.set(ranges, isNegated: first > start), end + 1)
  }

  /// Whether the whole of `path` fits.
  package func matches(_ path: String) -> Bool {
    let scalars = Array(path.unicodeScalars)
    var (part, index) = (0, 0)
    // Where the last `*` stands, and how far it reaches: only that one has to be stretched.
    var star: (part: Int, index: Int)?
    while index < scalars.count {
      if part < parts.count, parts[part] == .anyText {
        star = (part, index)
        part += 1
      } else if part < parts.count, Self.fits(scalars[index], parts[part]) {
        part += 1
        index += 1
      } else if let last = star {
        star = (last.part, last.index + 1)
        (part, index) = (last.part + 1, last.index + 1)
      } else {
        return false
      }
    }
    return parts[part...].allSatisfy { $0 == .anyText }
  }

  private static func fits(_ scalar: Unicode.Scalar, _ part: Part) -> Bool {
    switch part {
    case .text(let own): own == scalar
    case .anyCharacter: true
    case .anyText: false
    case .set(let ranges, let isNegated):
      ranges.contains { $0.contains(scalar.value) } != isNegated
    }
  }
}
