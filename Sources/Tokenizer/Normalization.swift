// Normalization Form C with the source of every character kept, as `tokenizers` keeps it. The
// Unicode data is the peer's, older than the standard library's; other forms than C are not made.

/// Text in NFC and where its bytes came from.
struct NormalizedText {
  /// The text in NFC.
  var bytes: [UInt8] = []
  /// For each byte of `bytes`, the byte range of the original character it is counted to; empty
  /// when no alignment was asked for.
  var sources: [Range<Int>] = []
}

/// Normalization Form C.
enum Normalization {
  /// NFC of a part of well-formed text, or nil if it is in NFC already. Linear but for the sorting
  /// of combining marks.
  ///
  /// A character made from several is counted to the first of them alone, as in `tokenizers`.
  static func composed(
    _ text: [UInt8], _ range: Range<Int>, classes: [UInt8], keepingSources: Bool
  ) -> NormalizedText? {
    if isComposed(text, range, classes: classes) { return nil }
    var work = Composition(text: text, range: range, keepingSources: keepingSources)
    work.run(classes: classes)
    return work.output
  }

  /// The quick check: false if any character may change or is out of order.
  private static func isComposed(_ text: [UInt8], _ range: Range<Int>, classes: [UInt8]) -> Bool {
    var i = range.lowerBound
    var lastClass: UInt8 = 0
    while i < range.upperBound {
      if text[i] < 0x80 {
        lastClass = 0
        i += 1
        continue
      }
      let (point, length) = UTF8Text.decode(text, at: i)
      let flags = classes[Int(point)]
      if flags & UnicodeClasses.active == 0 {
        lastClass = 0
      } else if flags & UnicodeClasses.mayChange != 0 {
        return false
      } else {
        let combiningClass = NormalizationData.shared.combiningClass(of: point)
        if combiningClass < lastClass { return false }
        lastClass = combiningClass
      }
      i += length
    }
    return true
  }
}

/// The state of one normalisation.
private struct Composition {
  /// A character of the result: `change` is 0 if it stands for one original character, −n if for n
  /// more, 1 if for none (it is part of what the character before it stands for).
  struct Item {
    var point: UInt32
    var change: Int
    var combiningClass: UInt8
  }

  let text: [UInt8]
  let range: Range<Int>
  let keepingSources: Bool
  var output = NormalizedText()

  private let data = NormalizationData.shared
  private var segment: [Item] = []
  /// Start of the next original character, and the one before it.
  private var next: Int
  private var previous: Range<Int>

  init(text: [UInt8], range: Range<Int>, keepingSources: Bool) {
    (self.text, self.range, self.keepingSources) = (text, range, keepingSources)
    next = range.lowerBound
    previous = range.lowerBound..<range.lowerBound
    output.bytes.reserveCapacity(range.count)
    if keepingSources { output.sources.reserveCapacity(range.count) }
  }

  /// Normalises the range.
  ///
  /// Text is cut before each inert character: nothing composes or moves across its start.
  mutating func run(classes: [UInt8]) {
    var i = range.lowerBound
    while i < range.upperBound {
      let start = i
      i += UTF8Text.length(ofLead: text[i])
      while i < range.upperBound, text[i] >= 0x80 {
        let (point, length) = UTF8Text.decode(text, at: i)
        if classes[Int(point)] & UnicodeClasses.active == 0 { break }
        i += length
      }
      let (point, length) = UTF8Text.decode(text, at: start)
      if start + length == i, classes[Int(point)] & UnicodeClasses.active == 0 {
        emit(Item(point: point, change: 0, combiningClass: 0))
      } else {
        normalizeSegment(start..<i)
      }
    }
  }

  private mutating func normalizeSegment(_ part: Range<Int>) {
    segment.removeAll(keepingCapacity: true)
    var items: [Item] = []
    var i = part.lowerBound
    while i < part.upperBound {
      let (point, length) = UTF8Text.decode(text, at: i)
      var change = 0
      data.decompose(point) { piece in
        items.append(
          Item(point: piece, change: change, combiningClass: data.combiningClass(of: piece)))
        change = 1
      }
      i += length
    }
    segment = items
    sortMarks()
    compose()
  }

  /// Canonical ordering: each run of marks by class, marks of one class in their order.
  private mutating func sortMarks() {
    var i = 0
    while i < segment.count {
      if segment[i].combiningClass == 0 {
        i += 1
        continue
      }
      var end = i + 1
      var isSorted = true
      while end < segment.count, segment[end].combiningClass != 0 {
        if segment[end].combiningClass < segment[end - 1].combiningClass { isSorted = false }
        end += 1
      }
      if !isSorted {
        let run = segment[i..<end].enumerated().sorted {
          ($0.element.combiningClass, $0.offset) < ($1.element.combiningClass, $1.offset)
        }
        segment.replaceSubrange(i..<end, with: run.map(\.element))
      }
      i = end
    }
  }

  /// Canonical composition: a character joins the last starter unless one of its own class or a
  /// higher one stands between them.
  private mutating func compose() {
    var starter: Item?
    var waiting: [Item] = []
    for item in segment {
      guard var base = starter else {
        if item.combiningClass == 0 { starter = item } else { emit(item) }
        continue
      }
      let isBlocked = waiting.last.map { $0.combiningClass >= item.combiningClass } ?? false
      if !isBlocked, let composite = data.compose(base.point, item.point) {
        base.point = composite
        base.change += item.change - 1
        starter = base
      } else if item.combiningClass == 0 {
        emit(base)
        waiting.forEach { emit($0) }
        waiting.removeAll(keepingCapacity: true)
        starter = item
      } else {
        waiting.append(item)
      }
    }
    if let starter { emit(starter) }
    waiting.forEach { emit($0) }
  }

  /// Writes a character and gives it its source.
  private mutating func emit(_ item: Item) {
    let start = output.bytes.count
    UTF8Text.append(item.point, to: &output.bytes)
    guard keepingSources else { return }
    var source = previous
    if item.change <= 0 {
      source = advance()
      for _ in 0..<(-item.change) { _ = advance() }
    }
    for _ in start..<output.bytes.count { output.sources.append(source) }
  }

  /// Steps over one original character.
  private mutating func advance() -> Range<Int> {
    guard next < range.upperBound else { return previous }
    previous = next..<(next + UTF8Text.length(ofLead: text[next]))
    next = previous.upperBound
    return previous
  }
}
