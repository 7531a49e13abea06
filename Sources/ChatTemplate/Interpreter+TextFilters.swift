// Filters whose subject is text.

extension Interpreter {
  /// The filter's result, or nil where `name` is no filter of text.
  func textFilter(_ name: String, _ value: Value, _ arguments: Arguments) throws(Fault) -> Value? {
    switch name {
    case "trim":
      let set = try arguments.bound("do_trim", ["chars"])[0]
      let text = try text(value)
      try budget.allocate(text.bytes.count)
      if let set, !set.isNone { return .string(text.stripped(try string(set, "strip"))) }
      return .string(text.stripped())
    case "upper", "lower", "capitalize":
      _ = try arguments.positional("do_\(name)", 0, 0)
      let text = try text(value)
      try budget.allocate(text.bytes.count)
      return .string(Self.cased(name, text))
    case "title":
      _ = try arguments.positional("do_title", 0, 0)
      let text = try text(value)
      try budget.allocate(text.bytes.count)
      return .string(Self.titled(text))
    case "replace":
      let given = try arguments.bound("do_replace", ["old", "new", "count"], required: 2)
      let limit =
        try given[2].map { (v) throws(Fault) in
          v.isNone ? -1 : try integer(v, "count")
        } ?? -1
      let (old, new) = (try text(given[0] ?? .null), try text(given[1] ?? .null))
      return .string(try replace(text(value).marked(false), old, new, limit))
    case "center":
      let width = try arguments.bound("do_center", ["width"])[0]
      let columns = try width.map { (v) throws(Fault) in try integer(v, "width") } ?? 80
      return .string(try padded(text(value), columns, Text(" "), "center"))
    case "indent": return try indent(value, arguments)
    case "truncate": return try truncate(value, arguments)
    case "wordwrap": return try wordWrap(value, arguments)
    case "wordcount":
      _ = try arguments.positional("do_wordcount", 0, 0)
      var (count, inside) = (0, false)
      for scalar in try text(value).scalars {
        let isWord = scalar.isPythonAlnum || scalar == "_"
        if isWord && !inside { count += 1 }
        inside = isWord
      }
      return .int(count)
    case "striptags":
      _ = try arguments.positional("do_striptags", 0, 0)
      return .string(try stripTags(text(value)))
    case "urlencode": return .string(try urlEncode(value, arguments))
    case "xmlattr": return try xmlAttributes(value, arguments)
    default: return nil
    }
  }

  /// jinja2's title: words begin after whitespace and `-([{<`.
  private static func titled(_ text: Text) -> Text {
    var atStart = true
    // The rest of a word is lowered as a string of its own, so a final sigma is told by the word alone.
    let lowered = text.lowercased
    if lowered.scalarCount != text.scalarCount {
      return text.mapScalars { scalar, _ in
        defer { atStart = isWordBreak(scalar) }
        return atStart ? scalar.properties.uppercaseMapping : scalar.properties.lowercaseMapping
      }
    }
    var lowerScalars = lowered.scalars[...]
    return text.mapScalars { scalar, _ in
      let lower = lowerScalars.popFirst() ?? scalar
      defer { atStart = isWordBreak(scalar) }
      return atStart ? scalar.properties.uppercaseMapping : String(lower)
    }
  }

  private static func isWordBreak(_ scalar: Unicode.Scalar) -> Bool {
    scalar.isPythonSpace || ["-", "(", "{", "[", "<"].contains(scalar)
  }

  private func indent(_ value: Value, _ arguments: Arguments) throws(Fault) -> Value {
    let given = try arguments.bound("do_indent", ["width", "first", "blank"])
    let first = try given[1].map { (v) throws(Fault) in try isTrue(v) } ?? false
    let blank = try given[2].map { (v) throws(Fault) in try isTrue(v) } ?? false
    guard case .string(let text) = value.kind else {
      if case .undefined(let missing) = value.kind { throw missing.fault }
      throw .type("unsupported operand type(s) for +=: '\(value.typeName)' and 'str'")
    }
    var indention = Text("    ")
    if let width = given[0] {
      if case .string(let custom) = width.kind {
        indention = text.isMarkup ? custom.escapedHTML : custom
      } else {
        let columns = max(0, try integer(width, "width"))
        try budget.allocate(columns)
        indention = Text([UInt8](repeating: 0x20, count: columns))
      }
    }
    var padded = TextBuilder()
    padded.append(text)
    padded.append("\n")
    let lines = padded.text.lines()
    let (extra, overflow) = lines.count.multipliedReportingOverflow(by: indention.bytes.count + 1)
    try budget.allocate(overflow ? .max : extra)
    try budget.allocate(text.bytes.count)
    var builder = TextBuilder()
    if first { builder.append(indention) }
    for (i, line) in lines.enumerated() {
      if i > 0 {
        builder.append("\n")
        if blank || !line.isEmpty { builder.append(indention) }
      }
      builder.append(line)
    }
    return .string(builder.text.marked(text.isMarkup))
  }

  private func truncate(_ value: Value, _ arguments: Arguments) throws(Fault) -> Value {
    let given = try arguments.bound("do_truncate", ["length", "killwords", "end", "leeway"])
    let length = try given[0].map { (v) throws(Fault) in try integer(v, "length") } ?? 255
    let killWords = try given[1].map { (v) throws(Fault) in try isTrue(v) } ?? false
    let end = try given[2].map { (v) throws(Fault) in try string(v, "truncate") } ?? Text("...")
    let leeway =
      try given[3].flatMap { (v) throws(Fault) -> Int? in
        v.isNone ? nil : try integer(v, "leeway")
      } ?? 5
    guard length >= end.scalarCount else {
      throw Fault(.assertion, "expected length >= \(end.scalarCount), got \(length)")
    }
    guard leeway >= 0 else { throw Fault(.assertion, "expected leeway >= 0, got \(leeway)") }
    let (longest, overflow) = length.addingReportingOverflow(leeway)
    if overflow { return value }
    if try self.length(value) <= longest { return value }
    guard case .string(let text) = value.kind else {
      throw .type("truncate needs a string, not \(value.typeName)")
    }
    var kept = text.slice(0, text.byteOffset(ofScalar: length - end.scalarCount))
    if !killWords, let space = kept.lastPlaces(of: [0x20], limit: 1).first {
      kept = kept.slice(0, space)
    }
    return try binary(.add, .string(kept), .string(end))
  }

  private func stripTags(_ text: Text) throws(Fault) -> Text {
    try budget.allocate(text.bytes.count)
    var builder = TextBuilder()
    var offset = 0
    // Comments first, then tags, as markupsafe does.
    for (open, close) in [("<!--", "-->"), ("<", ">")] {
      let source = offset == 0 ? text : builder.text
      builder = TextBuilder()
      offset = 0
      while let start = source.find(Array(open.utf8), from: offset),
        let end = source.find(Array(close.utf8), from: start)
      {
        builder.append(source, from: offset, to: start)
        offset = end + close.utf8.count
      }
      builder.append(source, from: offset, to: source.bytes.count)
      offset = 1
    }
    let words = builder.text.words()
    return HTMLEntities.unescaped(try join(words, separator: Text(" ")))
  }

  private func urlEncode(_ value: Value, _ arguments: Arguments) throws(Fault) -> Text {
    _ = try arguments.positional("do_urlencode", 0, 0)
    var pairs: [Value]
    switch value.kind {
    case .dict(let object): pairs = try items(of: object, .items)
    case .list, .tuple, .iterator, .view, .range, .undefined: pairs = try iterate(value)
    default: return try percentEncoded(text(value), isQuery: false)
    }
    var parts: [Text] = []
    for pair in pairs {
      let both = try iterate(pair)
      guard both.count == 2 else { throw .value("not enough values to unpack (expected 2)") }
      var builder = TextBuilder()
      builder.append(try percentEncoded(text(both[0]), isQuery: true))
      builder.append("=")
      builder.append(try percentEncoded(text(both[1]), isQuery: true))
      parts.append(builder.text)
    }
    pairs = []
    return try join(parts, separator: Text("&"))
  }

  private func percentEncoded(_ text: Text, isQuery: Bool) throws(Fault) -> Text {
    try budget.allocate(text.bytes.count * 3)
    var builder = TextBuilder()
    let digits = Array("0123456789ABCDEF".utf8)
    for (i, byte) in text.bytes.enumerated() {
      let origin = text.origin(at: i)
      let isPlain =
        byte.isDigit || (0x61...0x7A).contains(byte | 0x20)
        || [0x5F, 0x2E, 0x2D, 0x7E].contains(byte) || (byte == 0x2F && !isQuery)
      if isPlain {
        builder.append(byte, origin: origin)
      } else if isQuery && byte == 0x20 {
        builder.append(0x2B, origin: origin)
      } else {
        builder.append([0x25, digits[Int(byte >> 4)], digits[Int(byte & 15)]], origin: origin)
      }
    }
    return builder.text
  }

  private func xmlAttributes(_ value: Value, _ arguments: Arguments) throws(Fault) -> Value {
    let flag = try arguments.bound("do_xmlattr", ["autospace"])[0]
    let spaced = try flag.map { (v) throws(Fault) in try isTrue(v) } ?? true
    guard case .dict(let object) = value.kind else {
      if case .undefined(let missing) = value.kind { throw missing.fault }
      throw .type("'\(value.typeName)' object has no attribute 'items'")
    }
    var builder = TextBuilder()
    for entry in object.entries where !entry.value.isNone && !entry.value.isUndefined {
      let key = try string(entry.key, "xmlattr")
      for byte in key.bytes
      where [0x20, 0x09, 0x0A, 0x0B, 0x0C, 0x0D, 0x2F, 0x3E, 0x3D].contains(byte) {
        throw .value("Invalid character in attribute name: '\(key.string)'")
      }
      if builder.count > 0 || spaced { builder.append(" ") }
      builder.append(key.escapedHTML)
      builder.append("=\"")
      builder.append(try text(entry.value).escapedHTML)
      builder.append("\"")
    }
    try budget.allocate(builder.count)
    return .string(builder.text)
  }
}

/// The entities `striptags` resolves: the five of markup, spaces, and numeric ones.
enum HTMLEntities {
  private static let named: [String: String] = [
    "amp": "&", "lt": "<", "gt": ">", "quot": "\"", "apos": "'", "nbsp": "\u{A0}",
  ]

  /// The text with entities replaced by their characters.
  static func unescaped(_ text: Text) -> Text {
    var builder = TextBuilder()
    var offset = 0
    while let start = text.find([0x26], from: offset) {
      builder.append(text, from: offset, to: start)
      offset = start
      let limit = min(start + 12, text.bytes.count)
      if let end = text.find([0x3B], from: start, to: limit),
        let character = character(String(decoding: text.bytes[(start + 1)..<end], as: UTF8.self))
      {
        builder.append(character, origin: text.origin(at: start))
        offset = end + 1
      } else {
        builder.append(text, from: start, to: start + 1)
        offset = start + 1
      }
    }
    builder.append(text, from: offset, to: text.bytes.count)
    return builder.text
  }

  private static func character(_ name: String) -> String? {
    if let known = named[name] { return known }
    guard name.hasPrefix("#") else { return nil }
    let digits = name.dropFirst()
    let isHex = digits.first == "x" || digits.first == "X"
    guard let code = UInt32(isHex ? digits.dropFirst() : digits, radix: isHex ? 16 : 10),
      let scalar = Unicode.Scalar(code)
    else { return nil }
    return String(scalar)
  }
}
