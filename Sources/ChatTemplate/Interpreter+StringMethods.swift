// Python's str methods.

extension Interpreter {
  static let stringMethods: Set<String> = [
    "capitalize", "casefold", "center", "count", "encode", "endswith", "expandtabs", "find",
    "format", "format_map", "index", "isalnum", "isalpha", "isascii", "isdecimal", "isdigit",
    "isidentifier", "islower", "isnumeric", "isprintable", "isspace", "istitle", "isupper", "join",
    "ljust", "lower", "lstrip", "maketrans", "partition", "removeprefix", "removesuffix", "replace",
    "rfind", "rindex", "rjust", "rpartition", "rsplit", "rstrip", "split", "splitlines",
    "startswith", "strip", "swapcase", "title", "translate", "upper", "zfill",
  ]

  /// Calls a str method.
  func stringMethod(_ name: String, _ text: Text, _ arguments: Arguments) throws(Fault) -> Value {
    try budget.allocate(text.bytes.count)
    switch name {
    case "upper", "lower", "capitalize", "title", "swapcase", "casefold":
      _ = try arguments.positional(name, 0, 0)
      return .string(Self.cased(name, text))
    case "strip", "lstrip", "rstrip":
      let given = try arguments.positional(name, 0, 1)
      let set = try given.first.flatMap { (value) throws(Fault) -> Text? in
        value.isNone ? nil : try string(value, name)
      }
      return .string(text.stripped(set, left: name != "rstrip", right: name != "lstrip"))
    case "split", "rsplit": return try split(name, text, arguments)
    case "splitlines":
      let keepEnds = try arguments.bound(name, ["keepends"])[0]
      return try list(
        text.lines(keepEnds: try keepEnds.map { (v) throws(Fault) in try isTrue(v) } ?? false)
          .map { .string($0) })
    case "startswith", "endswith": return try startsOrEnds(name, text, arguments)
    case "find", "rfind", "index", "rindex", "count": return try find(name, text, arguments)
    case "replace":
      let given = try arguments.positional(name, 2, 3)
      let limit = given.count > 2 ? try integer(given[2], "count") : -1
      return .string(try replace(text, string(given[0], name), string(given[1], name), limit))
    case "join":
      let items = try iterate(arguments.positional(name, 1, 1)[0])
      var texts: [Text] = []
      for (i, item) in items.enumerated() {
        guard case .string(let part) = item.kind else {
          throw .type("sequence item \(i): expected str instance, \(item.typeName) found")
        }
        texts.append(part)
      }
      return .string(try join(texts, separator: text))
    case "format": return .string(try braceFormat(text, arguments))
    case "format_map":
      let mapping = try arguments.positional(name, 1, 1)[0]
      guard case .dict(let object) = mapping.kind else { throw .type("format_map() needs a dict") }
      var keywords: [(name: String, value: Value)] = []
      for entry in object.entries {
        if let key = entry.key.text { keywords.append((key.string, entry.value)) }
      }
      return .string(try braceFormat(text, Arguments(keywords: keywords)))
    case "partition", "rpartition": return try partition(name, text, arguments)
    case "removeprefix", "removesuffix":
      let affix = try string(arguments.positional(name, 1, 1)[0], name)
      let (size, count) = (affix.bytes.count, text.bytes.count)
      if name == "removeprefix" {
        return .string(text.bytes.starts(with: affix.bytes) ? text.slice(size, count) : text)
      }
      let ends = size <= count && text.bytes[(count - size)...].elementsEqual(affix.bytes)
      return .string(ends ? text.slice(0, count - size) : text)
    case "center", "ljust", "rjust":
      let given = try arguments.positional(name, 1, 2)
      let fill = try given.count > 1 ? string(given[1], name) : Text(" ")
      guard fill.scalarCount == 1 else {
        throw .type("The fill character must be exactly one character long")
      }
      return .string(try padded(text, integer(given[0], "width"), fill, name))
    case "zfill":
      let width = try integer(arguments.positional(name, 1, 1)[0], "width")
      let missing = width - text.scalarCount
      if missing <= 0 { return .string(text) }
      try budget.allocate(missing)
      var builder = TextBuilder()
      let signed = text.bytes.first == 0x2B || text.bytes.first == 0x2D
      builder.append(text, from: 0, to: signed ? 1 : 0)
      builder.append([UInt8](repeating: 0x30, count: missing))
      builder.append(text, from: signed ? 1 : 0, to: text.bytes.count)
      return .string(builder.text)
    case "expandtabs": return try expandTabs(text, arguments)
    case "isalnum", "isalpha", "isascii", "isdecimal", "isdigit", "isidentifier", "islower",
      "isnumeric", "isprintable", "isspace", "istitle", "isupper":
      _ = try arguments.positional(name, 0, 0)
      return .bool(Self.satisfies(name, text))
    default:
      throw Fault(.notSupported, "str.\(name) is not supported in chat templates")
    }
  }

  /// The case methods.
  static func cased(_ name: String, _ text: Text) -> Text {
    switch name {
    case "upper": text.uppercased
    case "lower": text.lowercased
    case "capitalize": text.capitalized
    case "title": text.titlecased
    case "swapcase": text.swapcased
    default:
      text.mapScalars { scalar, _ in
        // Full case folding differs from lower case for ß, ligatures and a few more.
        let lower = scalar.properties.lowercaseMapping
        if lower != String(scalar) { return lower }
        let upper = scalar.properties.uppercaseMapping
        guard upper.unicodeScalars.count > 1 || scalar.value == 0x3C2 else { return nil }
        return upper.unicodeScalars.map { $0.properties.lowercaseMapping }.joined()
      }
    }
  }

  private static func satisfies(_ name: String, _ text: Text) -> Bool {
    switch name {
    case "isalnum": return text.allScalars { $0.isPythonAlnum }
    case "isalpha": return text.allScalars { $0.isPythonAlpha }
    case "isascii": return text.isASCII
    case "isdecimal": return text.allScalars { $0.isPythonDecimal }
    case "isdigit": return text.allScalars { $0.isPythonDigit }
    case "isnumeric": return text.allScalars { $0.isPythonNumeric }
    case "isprintable": return text.scalars.allSatisfy { $0.isPythonPrintable }
    case "isspace": return text.allScalars { $0.isPythonSpace }
    case "islower": return text.isCased(upper: false)
    case "isupper": return text.isCased(upper: true)
    case "isidentifier":
      guard let first = text.scalars.first else { return false }
      return (first == "_" || first.properties.isXIDStart)
        && text.scalars.allSatisfy { $0.properties.isXIDContinue }
    default:
      var (previousIsCased, found) = (false, false)
      for scalar in text.scalars {
        if scalar.isPythonUpper || scalar.isPythonTitle {
          if previousIsCased { return false }
          (previousIsCased, found) = (true, true)
        } else if scalar.isPythonLower {
          if !previousIsCased { return false }
          found = true
        } else {
          previousIsCased = false
        }
      }
      return found
    }
  }

  /// A string argument.
  func string(_ value: Value, _ function: String) throws(Fault) -> Text {
    switch value.kind {
    case .string(let text): return text
    case .undefined: throw .type("\(function)() argument must be str, not Undefined")
    default: throw .type("\(function)() argument must be str, not \(value.typeName)")
    }
  }

  /// An integer argument (`__index__`).
  func integer(_ value: Value, _ name: String) throws(Fault) -> Int {
    switch value.kind {
    case .int(let number): return number
    case .bool(let flag): return flag ? 1 : 0
    case .big(let number): return number.isNegative ? .min / 2 : .max / 2
    default:
      throw .type("'\(value.typeName)' object cannot be interpreted as an integer (\(name))")
    }
  }

  private func split(_ name: String, _ text: Text, _ arguments: Arguments) throws(Fault) -> Value {
    let given = try arguments.bound(name, ["sep", "maxsplit"])
    let wanted = try given[1].map { (v) throws(Fault) in try integer(v, "maxsplit") } ?? -1
    let limit = wanted < 0 ? Int.max : wanted
    let parts: [Text]
    if let separator = given[0], !separator.isNone {
      let bytes = try string(separator, name).bytes
      guard !bytes.isEmpty else { throw .value("empty separator") }
      let places =
        name == "split"
        ? text.places(of: bytes, limit: limit) : text.lastPlaces(of: bytes, limit: limit)
      try budget.allocateItems(places.count)
      parts = text.pieces(at: places, width: bytes.count)
    } else {
      parts = name == "split" ? text.words(limit: limit) : text.lastWords(limit: limit)
    }
    return try list(parts.map { .string($0) })
  }

  /// The byte range of optional start and end arguments; nil where start lies behind the end.
  private func range(_ text: Text, _ given: ArraySlice<Value>) throws(Fault) -> Range<Int>? {
    if given.isEmpty { return 0..<text.bytes.count }
    let count = text.scalarCount
    var bounds = [0, count]
    for (i, value) in given.enumerated() where !value.isNone {
      let index = try integer(value, "index")
      bounds[i] = index < 0 ? max(0, index + count) : index
    }
    if bounds[0] > count { return nil }
    let end = min(bounds[1], count)
    guard bounds[0] <= end else { return nil }
    return text.byteOffset(ofScalar: bounds[0])..<text.byteOffset(ofScalar: end)
  }

  private func startsOrEnds(
    _ name: String, _ text: Text, _ arguments: Arguments
  ) throws(Fault) -> Value {
    let given = try arguments.positional(name, 1, 3)
    var affixes: [Value] = [given[0]]
    if case .tuple(let object) = given[0].kind { affixes = object.items }
    let range = try range(text, given[1...])
    for affix in affixes {
      guard case .string(let wanted) = affix.kind else {
        throw .type(
          "\(name) first arg must be str or a tuple of str, not \(given[0].typeName)")
      }
      guard let range, wanted.bytes.count <= range.count else { continue }
      let start = name == "startswith" ? range.lowerBound : range.upperBound - wanted.bytes.count
      if text.bytes[start..<start + wanted.bytes.count].elementsEqual(wanted.bytes) { return .true }
    }
    return .false
  }

  private func find(_ name: String, _ text: Text, _ arguments: Arguments) throws(Fault) -> Value {
    let given = try arguments.positional(name, 1, 3)
    let needle = try string(given[0], name).bytes
    let range = try range(text, given[1...])
    if name == "count" {
      guard let range else { return .int(0) }
      let part = text.slice(range.lowerBound, range.upperBound)
      let inside = range.isEmpty ? Text([]) : part
      return .int(needle.isEmpty ? inside.scalarCount + 1 : inside.places(of: needle).count)
    }
    var place: Int?
    if let range {
      if name.utf8.first == 0x72 {
        let part = Text(Array(text.bytes[range]))
        place =
          needle.isEmpty
          ? range.upperBound
          : part.lastPlaces(of: needle, limit: 1).first.map { $0 + range.lowerBound }
      } else {
        place = text.find(needle, from: range.lowerBound, to: range.upperBound)
      }
    }
    guard let place else {
      if name.hasSuffix("index") { throw .value("substring not found") }
      return .int(-1)
    }
    return .int(text.scalarIndex(ofByte: place))
  }

  /// `str.replace`; a negative limit is none.
  func replace(_ text: Text, _ old: Text, _ new: Text, _ limit: Int) throws(Fault) -> Text {
    let new = text.isMarkup ? new.escapedHTML : new
    let most = limit < 0 ? Int.max : limit
    let count = min(most, old.isEmpty ? text.bytes.count + 1 : text.bytes.count / old.bytes.count)
    let (grown, overflow) = count.multipliedReportingOverflow(by: new.bytes.count)
    if old.isEmpty || new.bytes.count > old.bytes.count {
      let places = old.isEmpty ? count : text.places(of: old.bytes, limit: most).count
      if overflow && old.isEmpty { throw Fault.limit("bytes of text", budget.limits.outputBytes) }
      try budget.allocate(old.isEmpty ? grown : places * new.bytes.count)
    }
    return text.replacing(old.bytes, with: new, limit: most).marked(text.isMarkup)
  }

  /// `separator.join(texts)`.
  func join(_ texts: [Text], separator: Text) throws(Fault) -> Text {
    var total = 0
    for text in texts { total += text.bytes.count }
    let (between, overflow) = separator.bytes.count.multipliedReportingOverflow(by: texts.count)
    if overflow { throw Fault.limit("bytes of text", budget.limits.outputBytes) }
    try budget.allocate(total)
    try budget.allocate(between)
    var builder = TextBuilder()
    for (i, text) in texts.enumerated() {
      if i > 0 { builder.append(separator) }
      builder.append(separator.isMarkup ? text.escapedHTML : text)
    }
    return builder.text.marked(separator.isMarkup)
  }

  private func partition(
    _ name: String, _ text: Text, _ arguments: Arguments
  ) throws(Fault) -> Value {
    let separator = try string(arguments.positional(name, 1, 1)[0], name)
    guard !separator.isEmpty else { throw .value("empty separator") }
    let isFirst = name == "partition"
    let place =
      isFirst
      ? text.find(separator.bytes) : text.lastPlaces(of: separator.bytes, limit: 1).first
    guard let place else {
      let empty = Value.string("")
      return try tuple(isFirst ? [.string(text), empty, empty] : [empty, empty, .string(text)])
    }
    let end = place + separator.bytes.count
    return try tuple([
      .string(text.slice(0, place)), .string(separator), .string(text.slice(end, text.bytes.count)),
    ])
  }

  /// `center`, `ljust` and `rjust`.
  func padded(_ text: Text, _ width: Int, _ fill: Text, _ how: String) throws(Fault) -> Text {
    let missing = width - text.scalarCount
    if missing <= 0 { return text }
    try budget.allocate(missing.multipliedReportingOverflow(by: 4).overflow ? .max : missing * 4)
    let left: Int
    switch how {
    case "ljust": left = 0
    case "rjust": left = missing
    default: left = missing / 2 + (missing & width & 1)
    }
    var builder = TextBuilder()
    for _ in 0..<left { builder.append(fill) }
    builder.append(text)
    for _ in left..<missing { builder.append(fill) }
    return builder.text.marked(text.isMarkup)
  }

  private func expandTabs(_ text: Text, _ arguments: Arguments) throws(Fault) -> Value {
    let given = try arguments.bound("expandtabs", ["tabsize"])[0]
    let size = try given.map { (v) throws(Fault) in try integer(v, "tabsize") } ?? 8
    var builder = TextBuilder()
    var (offset, column) = (0, 0)
    while offset < text.bytes.count {
      let (scalar, next) = text.scalar(at: offset)
      if scalar == "\t" {
        if size > 0 {
          let count = size - column % size
          try budget.allocate(count)
          builder.append([UInt8](repeating: 0x20, count: count), origin: text.origin(at: offset))
          column += count
        }
      } else {
        builder.append(text, from: offset, to: next)
        column = scalar == "\n" || scalar == "\r" ? 0 : column + 1
      }
      offset = next
    }
    return .string(builder.text)
  }
}
