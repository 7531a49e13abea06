// The string of the template language: UTF-8 bytes that remember where they came from. Positions are byte
// offsets; code points are what templates count. Nothing here knows about graphemes or locales.

/// A stretch of text with one origin, ending (exclusively) at byte `end`.
struct Run: Sendable, Equatable {
  var end: Int
  let origin: OriginID
}

/// A string with origins. Text of one origin keeps no runs, so literals cost their bytes only.
struct Text: Sendable {
  let bytes: [UInt8]
  /// The origin of all of it when `runs` is empty.
  let origin: OriginID
  /// Two or more stretches, in order, the last ending at the end of the bytes; or none.
  let runs: [Run]
  /// Whether this is markupsafe's Markup: operations with it escape HTML.
  var isMarkup = false

  init(_ bytes: [UInt8], origin: OriginID = .template) {
    self.bytes = bytes
    self.origin = origin
    runs = []
  }

  init(_ string: String, origin: OriginID = .template) {
    self.init(Array(string.utf8), origin: origin)
  }

  /// `runs` must cover `bytes`.
  init(_ bytes: [UInt8], runs: [Run]) {
    self.bytes = bytes
    if runs.count <= 1 {
      origin = runs.first?.origin ?? .template
      self.runs = []
    } else {
      origin = .template
      self.runs = runs
    }
  }

  /// The text as a Swift string.
  var string: String { String(decoding: bytes, as: UTF8.self) }
  var isEmpty: Bool { bytes.isEmpty }
  var isASCII: Bool { bytes.allSatisfy { $0 < 0x80 } }

  /// Number of code points.
  var scalarCount: Int {
    var count = 0
    for byte in bytes where byte & 0xC0 != 0x80 { count += 1 }
    return count
  }

  /// The origin of the byte at `offset`.
  func origin(at offset: Int) -> OriginID {
    if runs.isEmpty { return origin }
    var (low, high) = (0, runs.count - 1)
    while low < high {
      let middle = (low + high) / 2
      if runs[middle].end <= offset { low = middle + 1 } else { high = middle }
    }
    return runs[low].origin
  }

  /// The bytes from `start` to `end`, with their origins.
  func slice(_ start: Int, _ end: Int) -> Text {
    if start <= 0 && end >= bytes.count { return self }
    guard start < end else { return Text([], origin: origin).marked(isMarkup) }
    if runs.isEmpty {
      return Text(Array(bytes[start..<end]), origin: origin).marked(isMarkup)
    }
    var builder = TextBuilder()
    builder.append(self, from: start, to: end)
    return builder.text.marked(isMarkup)
  }

  /// The same text with the Markup flag set as said.
  func marked(_ markup: Bool) -> Text {
    var copy = self
    copy.isMarkup = markup
    return copy
  }

  /// The same bytes, all from one origin.
  func attributed(to origin: OriginID) -> Text {
    Text(bytes, origin: origin).marked(isMarkup)
  }

  /// Byte offsets of the starts of all code points, and the end.
  var scalarOffsets: [Int] {
    var offsets: [Int] = []
    offsets.reserveCapacity(bytes.count + 1)
    for (i, byte) in bytes.enumerated() where byte & 0xC0 != 0x80 { offsets.append(i) }
    offsets.append(bytes.count)
    return offsets
  }

  /// The scalar that starts at byte `offset`, and where the next one starts.
  func scalar(at offset: Int) -> (scalar: Unicode.Scalar, next: Int) {
    let first = bytes[offset]
    if first < 0x80 { return (Unicode.Scalar(first), offset + 1) }
    let length = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2
    let end = min(offset + length, bytes.count)
    var value = UInt32(first) & (length == 4 ? 0x07 : length == 3 ? 0x0F : 0x1F)
    for i in (offset + 1)..<max(end, offset + 1) { value = value << 6 | UInt32(bytes[i] & 0x3F) }
    return (Unicode.Scalar(value) ?? "\u{FFFD}", end)
  }

  /// The scalar that ends at byte `end`, and where it starts.
  func scalar(before end: Int) -> (scalar: Unicode.Scalar, start: Int) {
    var start = end - 1
    while start > 0 && bytes[start] & 0xC0 == 0x80 { start -= 1 }
    return (scalar(at: start).scalar, start)
  }

  /// All scalars.
  var scalars: [Unicode.Scalar] {
    var result: [Unicode.Scalar] = []
    result.reserveCapacity(bytes.count)
    var offset = 0
    while offset < bytes.count {
      let (scalar, next) = scalar(at: offset)
      result.append(scalar)
      offset = next
    }
    return result
  }

  /// Byte offset of the code point `index` (0 ... count); the end for anything larger.
  func byteOffset(ofScalar index: Int) -> Int {
    if index <= 0 { return 0 }
    if index >= bytes.count { return bytes.count }
    var seen = 0
    for (i, byte) in bytes.enumerated() where byte & 0xC0 != 0x80 {
      if seen == index { return i }
      seen += 1
    }
    return bytes.count
  }

  /// Number of code points before byte `offset`.
  func scalarIndex(ofByte offset: Int) -> Int {
    var count = 0
    for byte in bytes[..<offset] where byte & 0xC0 != 0x80 { count += 1 }
    return count
  }

  /// Python's order of strings: by code point, which is the order of UTF-8 bytes.
  static func compare(_ a: [UInt8], _ b: [UInt8]) -> Int {
    if a == b { return 0 }
    return a.lexicographicallyPrecedes(b) ? -1 : 1
  }
}

/// Collects text with origins.
struct TextBuilder {
  private(set) var bytes: [UInt8] = []
  private var runs: [Run] = []

  /// What has been collected.
  var text: Text { Text(bytes, runs: runs) }
  /// The stretches so far; they cover all bytes.
  var stretches: [Run] { runs }
  var count: Int { bytes.count }

  mutating func append(_ text: Text) {
    if text.bytes.isEmpty { return }
    let base = bytes.count
    bytes.append(contentsOf: text.bytes)
    if text.runs.isEmpty {
      extend(to: bytes.count, text.origin)
    } else {
      for run in text.runs { extend(to: base + run.end, run.origin) }
    }
  }

  mutating func append(_ text: Text, from start: Int, to end: Int) {
    guard start < end else { return }
    let base = bytes.count - start
    bytes.append(contentsOf: text.bytes[start..<end])
    if text.runs.isEmpty {
      extend(to: bytes.count, text.origin)
      return
    }
    var (low, high) = (0, text.runs.count - 1)
    while low < high {
      let middle = (low + high) / 2
      if text.runs[middle].end <= start { low = middle + 1 } else { high = middle }
    }
    while low < text.runs.count {
      let run = text.runs[low]
      extend(to: base + min(run.end, end), run.origin)
      if run.end >= end { break }
      low += 1
    }
  }

  mutating func append(_ new: [UInt8], origin: OriginID = .template) {
    if new.isEmpty { return }
    bytes.append(contentsOf: new)
    extend(to: bytes.count, origin)
  }

  mutating func append(_ new: String, origin: OriginID = .template) {
    bytes.append(contentsOf: new.utf8)
    extend(to: bytes.count, origin)
  }

  mutating func append(_ byte: UInt8, origin: OriginID = .template) {
    bytes.append(byte)
    extend(to: bytes.count, origin)
  }

  mutating func append(_ scalar: Unicode.Scalar, origin: OriginID) {
    for byte in UTF8.encode(scalar) ?? UTF8.encodedReplacementCharacter { bytes.append(byte) }
    extend(to: bytes.count, origin)
  }

  private mutating func extend(to end: Int, _ origin: OriginID) {
    let last = runs.count - 1
    if last >= 0 && runs[last].origin == origin {
      runs[last].end = end
    } else if end > (last >= 0 ? runs[last].end : 0) {
      runs.append(Run(end: end, origin: origin))
    }
  }
}
