// `wordwrap` (Python's textwrap) and `pprint` (Python's pprint): both lay text out in lines.

extension Interpreter {
  /// The filter `wordwrap`.
  func wordWrap(_ value: Value, _ arguments: Arguments) throws(Fault) -> Value {
    let given = try arguments.bound(
      "do_wordwrap", ["width", "break_long_words", "wrapstring", "break_on_hyphens"])
    let width = try given[0].map { (v) throws(Fault) in try integer(v, "width") } ?? 79
    let breaksLong = try given[1].map { (v) throws(Fault) in try isTrue(v) } ?? true
    let breaksHyphens = try given[3].map { (v) throws(Fault) in try isTrue(v) } ?? true
    var separator = Text("\n")
    if let wrap = given[2], !wrap.isNone { separator = try string(wrap, "join") }
    guard case .string(let text) = value.kind else {
      if case .undefined(let missing) = value.kind { throw missing.fault }
      throw .type("'\(value.typeName)' object has no attribute 'splitlines'")
    }
    guard width > 0 else { throw .value("invalid width \(width) (must be > 0)") }
    try budget.allocateItems(text.bytes.count)
    var paragraphs: [Text] = []
    for line in text.lines() {
      let chunks = Self.wrapChunks(line, breaksHyphens: breaksHyphens)
      let lines = wrapped(line, chunks, width, breaksLong, breaksHyphens)
      paragraphs.append(try join(lines, separator: separator))
    }
    return .string(try join(paragraphs, separator: separator))
  }

  private static func isWrapSpace(_ byte: UInt8) -> Bool {
    (0x09...0x0D).contains(byte) || byte == 0x20
  }

  /// Words, the spaces between them, and parts of words after hyphens, as byte ranges.
  private static func wrapChunks(_ line: Text, breaksHyphens: Bool) -> [Range<Int>] {
    let bytes = line.bytes
    var chunks: [Range<Int>] = []
    var start = 0
    while start < bytes.count {
      let isSpace = isWrapSpace(bytes[start])
      var end = start
      while end < bytes.count, isWrapSpace(bytes[end]) == isSpace { end += 1 }
      if isSpace || !breaksHyphens {
        chunks.append(start..<end)
      } else {
        var piece = start
        var i = start
        while i < end {
          // A hyphen between letters ends a piece; dashes of two and more are pieces of their own.
          if bytes[i] == 0x2D {
            var dashes = i
            while dashes < end, bytes[dashes] == 0x2D { dashes += 1 }
            if dashes - i >= 2, i > piece || i > start, dashes < end {
              if i > piece { chunks.append(piece..<i) }
              chunks.append(i..<dashes)
              piece = dashes
            } else if dashes - i == 1, isLetter(line, before: i, from: start),
              isLetter(line, after: dashes, to: end)
            {
              chunks.append(piece..<dashes)
              piece = dashes
            }
            i = dashes
          } else {
            i += 1
          }
        }
        if piece < end { chunks.append(piece..<end) }
      }
      start = end
    }
    return chunks
  }

  /// Two letters before a hyphen, or letter-hyphen-letter, as textwrap wants them.
  private static func isLetter(_ line: Text, before i: Int, from start: Int) -> Bool {
    guard i > start else { return false }
    let (last, at) = line.scalar(before: i)
    guard last.isPythonAlpha, at > start else { return false }
    let (previous, _) = line.scalar(before: at)
    return previous.isPythonAlpha || previous == "-"
  }

  private static func isLetter(_ line: Text, after i: Int, to end: Int) -> Bool {
    guard i < end else { return false }
    let (first, next) = line.scalar(at: i)
    guard first.isPythonAlpha, next < end else { return false }
    let (second, _) = line.scalar(at: next)
    return second.isPythonAlpha || second == "-"
  }

  private func wrapped(
    _ line: Text, _ all: [Range<Int>], _ width: Int, _ breaksLong: Bool, _ breaksHyphens: Bool
  ) -> [Text] {
    func count(_ range: Range<Int>) -> Int {
      var count = 0
      for byte in line.bytes[range] where byte & 0xC0 != 0x80 { count += 1 }
      return count
    }
    func isBlank(_ range: Range<Int>) -> Bool { line.bytes[range].allSatisfy(Self.isWrapSpace) }
    var lines: [Text] = []
    var next = 0
    var chunks = all
    while next < chunks.count {
      if !lines.isEmpty && isBlank(chunks[next]) {
        next += 1
        if next >= chunks.count { break }
      }
      let first = next
      var used = 0
      while next < chunks.count, used + count(chunks[next]) <= width {
        used += count(chunks[next])
        next += 1
      }
      var end = next > first ? chunks[next - 1].upperBound : chunks[first].lowerBound
      let start = chunks[first].lowerBound
      var isCut = false
      if next < chunks.count, count(chunks[next]) > width {
        if breaksLong {
          let room = max(1, width - used)
          let chunk = line.slice(chunks[next].lowerBound, chunks[next].upperBound)
          var cut = chunk.byteOffset(ofScalar: room)
          if breaksHyphens, chunk.scalarCount > room,
            let hyphen = chunk.slice(0, cut).lastPlaces(of: [0x2D], limit: 1).first, hyphen > 0,
            chunk.bytes[..<hyphen].contains(where: { $0 != 0x2D })
          {
            cut = hyphen + 1
          }
          end = chunks[next].lowerBound + cut
          chunks[next] = end..<chunks[next].upperBound
          isCut = true
        } else if next == first {
          end = chunks[next].upperBound
          next += 1
        }
      }
      if !isCut, next > first, isBlank(chunks[next - 1]) { end = chunks[next - 1].lowerBound }
      if end > start { lines.append(line.slice(start, end)) }
    }
    return lines
  }

  // MARK: pprint

  /// `pprint.pformat(value)`: one line where it fits 80 columns, else an item a line.
  func prettyPrinted(_ value: Value) throws(Fault) -> Text {
    var builder = TextBuilder()
    try prettyPrint(value, indent: 0, allowance: 0, to: &builder)
    try budget.allocate(builder.count)
    return builder.text
  }

  /// The representation with dict keys in order.
  private func sortedRepresentation(_ value: Value) throws(Fault) -> Text {
    try enter()
    defer { leave() }
    var builder = TextBuilder()
    switch value.kind {
    case .dict(let object):
      builder.append("{")
      for (i, entry) in try sortedEntries(object).enumerated() {
        if i > 0 { builder.append(", ") }
        builder.append(try sortedRepresentation(entry.key))
        builder.append(": ")
        builder.append(try sortedRepresentation(entry.value))
      }
      builder.append("}")
    case .list(let object), .tuple(let object):
      let isList = if case .list = value.kind { true } else { false }
      builder.append(isList ? "[" : "(")
      for (i, item) in object.items.enumerated() {
        if i > 0 { builder.append(", ") }
        builder.append(try sortedRepresentation(item))
      }
      builder.append(isList ? "]" : object.items.count == 1 ? ",)" : ")")
    default: return try representation(value)
    }
    try budget.allocate(builder.count)
    return builder.text
  }

  private func sortedEntries(_ object: DictObject) throws(Fault) -> [(key: Value, value: Value)] {
    let places = (0..<object.count).map { Value.int($0) }
    let order = try sorted(places) { (a, b) throws(Fault) -> Int? in
      guard case .int(let i) = a.kind, case .int(let j) = b.kind else { return 0 }
      let (x, y) = (object.entries[i].key, object.entries[j].key)
      if Number(x) != nil && Number(y) != nil || x.text != nil && y.text != nil {
        return try self.order(x, y, "<")
      }
      return Text.compare(Array(x.typeName.utf8), Array(y.typeName.utf8))
    }
    return order.compactMap {
      if case .int(let i) = $0.kind { return object.entries[i] }
      return nil
    }
  }

  private func prettyPrint(
    _ value: Value, indent: Int, allowance: Int, to builder: inout TextBuilder
  ) throws(Fault) {
    let flat = try sortedRepresentation(value)
    let fits = flat.scalarCount <= 80 - indent - allowance
    try enter()
    defer { leave() }
    let indentation = "\n" + String(repeating: " ", count: indent + 1)
    switch value.kind {
    case .dict(let object) where !fits && object.count > 0:
      builder.append("{")
      let entries = try sortedEntries(object)
      for (i, entry) in entries.enumerated() {
        let isLast = i == entries.count - 1
        let key = try sortedRepresentation(entry.key)
        builder.append(key)
        builder.append(": ")
        try prettyPrint(
          entry.value, indent: indent + 1 + key.scalarCount + 2,
          allowance: isLast ? allowance + 1 : 1,
          to: &builder)
        if !isLast { builder.append("," + indentation) }
      }
      builder.append("}")
    case .list(let object) where !fits && !object.items.isEmpty,
      .tuple(let object) where !fits && !object.items.isEmpty:
      let isList = if case .list = value.kind { true } else { false }
      let close = isList ? "]" : object.items.count == 1 ? ",)" : ")"
      builder.append(isList ? "[" : "(")
      for (i, item) in object.items.enumerated() {
        let isLast = i == object.items.count - 1
        try prettyPrint(
          item, indent: indent + 1, allowance: isLast ? allowance + close.utf8.count : 1,
          to: &builder)
        if !isLast { builder.append("," + indentation) }
      }
      builder.append(close)
    default: builder.append(flat)
    }
  }
}
