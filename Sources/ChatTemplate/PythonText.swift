// What Python's str knows about characters: whitespace, case, categories, and `repr`. Unicode tables are
// the Swift standard library's.

extension Unicode.Scalar {
  /// `str.isspace` for one character; also the regular expression `\s`.
  var isPythonSpace: Bool {
    switch value {
    case 0x09...0x0D, 0x1C...0x20, 0x85, 0xA0, 0x1680, 0x2000...0x200A, 0x2028, 0x2029, 0x202F,
      0x205F, 0x3000:
      true
    default: false
    }
  }

  /// Whether `str.splitlines` breaks after it.
  var isPythonLineBreak: Bool {
    switch value {
    case 0x0A...0x0D, 0x1C...0x1E, 0x85, 0x2028, 0x2029: true
    default: false
    }
  }

  /// `str.isprintable` for one character.
  var isPythonPrintable: Bool {
    if value < 0x7F { return value >= 0x20 }
    switch properties.generalCategory {
    case .control, .format, .surrogate, .privateUse, .unassigned, .lineSeparator,
      .paragraphSeparator, .spaceSeparator:
      return false
    default: return true
    }
  }

  /// `str.isalpha` for one character.
  var isPythonAlpha: Bool {
    switch properties.generalCategory {
    case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter: true
    default: false
    }
  }

  /// `str.isdecimal` for one character.
  var isPythonDecimal: Bool { properties.numericType == .decimal }
  /// `str.isdigit` for one character.
  var isPythonDigit: Bool { properties.numericType == .decimal || properties.numericType == .digit }
  /// `str.isnumeric` for one character.
  var isPythonNumeric: Bool { properties.numericType != nil }
  /// `str.isalnum` for one character.
  var isPythonAlnum: Bool { isPythonAlpha || isPythonNumeric }
  var isPythonUpper: Bool { properties.isUppercase }
  var isPythonLower: Bool { properties.isLowercase }
  var isPythonTitle: Bool { properties.generalCategory == .titlecaseLetter }
  var isPythonCased: Bool { isPythonUpper || isPythonLower || isPythonTitle }
}

extension Text {
  /// Each character replaced by what `transform` makes of it; origins stay.
  func mapScalars(_ transform: (Unicode.Scalar, Int) -> String?) -> Text {
    var builder = TextBuilder()
    var offset = 0
    while offset < bytes.count {
      let (scalar, next) = scalar(at: offset)
      if let replacement = transform(scalar, offset) {
        builder.append(replacement, origin: origin(at: offset))
      } else {
        builder.append(self, from: offset, to: next)
      }
      offset = next
    }
    return builder.text.marked(isMarkup)
  }

  /// ASCII bytes through a table-free transform, where the text has nothing else.
  private func mapASCII(_ transform: (UInt8) -> UInt8) -> Text? {
    guard isASCII else { return nil }
    let mapped = bytes.map(transform)
    let text = runs.isEmpty ? Text(mapped, origin: origin) : Text(mapped, runs: runs)
    return text.marked(isMarkup)
  }

  /// `str.upper`.
  var uppercased: Text {
    mapASCII { (0x61...0x7A).contains($0) ? $0 & 0xDF : $0 }
      ?? mapScalars { scalar, _ in scalar.properties.uppercaseMapping }
  }

  /// `str.lower`.
  var lowercased: Text {
    mapASCII { (0x41...0x5A).contains($0) ? $0 | 0x20 : $0 }
      ?? mapScalars { scalar, offset in lowerMapping(scalar, at: offset) }
  }

  /// Lower case of one character; a capital sigma at a word's end is final.
  private func lowerMapping(_ scalar: Unicode.Scalar, at offset: Int) -> String {
    guard scalar.value == 0x3A3 else { return scalar.properties.lowercaseMapping }
    var before = offset
    var precededByCased = false
    while before > 0 {
      let (previous, start) = self.scalar(before: before)
      before = start
      if previous.properties.isCaseIgnorable { continue }
      precededByCased = previous.properties.isCased
      break
    }
    var after = offset + 2
    var followedByCased = false
    while after < bytes.count {
      let (next, end) = self.scalar(at: after)
      after = end
      if next.properties.isCaseIgnorable { continue }
      followedByCased = next.properties.isCased
      break
    }
    return precededByCased && !followedByCased ? "\u{3C2}" : "\u{3C3}"
  }

  /// `str.capitalize`.
  var capitalized: Text {
    mapScalars { scalar, offset in
      offset == 0 ? scalar.properties.titlecaseMapping : lowerMapping(scalar, at: offset)
    }
  }

  /// `str.title`: a capital after everything without case.
  var titlecased: Text {
    var previousIsCased = false
    return mapScalars { scalar, offset in
      defer { previousIsCased = scalar.properties.isCased }
      return previousIsCased
        ? lowerMapping(scalar, at: offset) : scalar.properties.titlecaseMapping
    }
  }

  /// `str.swapcase`.
  var swapcased: Text {
    mapScalars { scalar, offset in
      if scalar.isPythonUpper { return lowerMapping(scalar, at: offset) }
      return scalar.isPythonLower ? scalar.properties.uppercaseMapping : nil
    }
  }

  /// Whether all characters satisfy `condition`, and there is one.
  func allScalars(_ condition: (Unicode.Scalar) -> Bool) -> Bool {
    !bytes.isEmpty && scalars.allSatisfy(condition)
  }

  /// `str.islower` and `str.isupper`: some character of the case and none of the other.
  func isCased(upper: Bool) -> Bool {
    var found = false
    for scalar in scalars {
      if scalar.isPythonTitle || (upper ? scalar.isPythonLower : scalar.isPythonUpper) {
        return false
      }
      if upper ? scalar.isPythonUpper : scalar.isPythonLower { found = true }
    }
    return found
  }

  /// Byte bounds after stripping whitespace, or the characters of `set`.
  func strippedBounds(_ set: Set<Unicode.Scalar>?, left: Bool, right: Bool) -> Range<Int> {
    var (start, end) = (0, bytes.count)
    func isStripped(_ scalar: Unicode.Scalar) -> Bool {
      set.map { $0.contains(scalar) } ?? scalar.isPythonSpace
    }
    if left {
      while start < end {
        let (scalar, next) = scalar(at: start)
        guard isStripped(scalar) else { break }
        start = next
      }
    }
    if right {
      while end > start {
        let (scalar, previous) = scalar(before: end)
        guard isStripped(scalar) else { break }
        end = previous
      }
    }
    return start..<end
  }

  /// `str.strip` and its halves.
  func stripped(_ characters: Text? = nil, left: Bool = true, right: Bool = true) -> Text {
    let bounds = strippedBounds(characters.map { Set($0.scalars) }, left: left, right: right)
    return slice(bounds.lowerBound, bounds.upperBound)
  }

  /// `str.splitlines`.
  func lines(keepEnds: Bool = false) -> [Text] {
    var result: [Text] = []
    var (start, offset) = (0, 0)
    while offset < bytes.count {
      let (scalar, next) = scalar(at: offset)
      offset = next
      guard scalar.isPythonLineBreak else { continue }
      let end = next - scalar.utf8.count
      if scalar.value == 0x0D, next < bytes.count, bytes[next] == 0x0A { offset = next + 1 }
      result.append(slice(start, keepEnds ? offset : end))
      start = offset
    }
    if start < bytes.count { result.append(slice(start, bytes.count)) }
    return result
  }

  /// `repr(str)`, each character keeping its origin; quotes are the first character's.
  func representation(into builder: inout TextBuilder) {
    let hasSingle = bytes.contains(0x27)
    let quote: UInt8 = hasSingle && !bytes.contains(0x22) ? 0x22 : 0x27
    let outer = bytes.isEmpty ? origin : origin(at: 0)
    builder.append(quote, origin: outer)
    var (plain, offset) = (0, 0)
    while offset < bytes.count {
      let (scalar, next) = scalar(at: offset)
      let escaped: String?
      switch scalar {
      case "\\": escaped = "\\\\"
      case "\n": escaped = "\\n"
      case "\r": escaped = "\\r"
      case "\t": escaped = "\\t"
      default:
        if scalar.value == UInt32(quote) {
          escaped = "\\" + String(scalar)
        } else if scalar.isPythonPrintable {
          escaped = nil
        } else {
          let (mark, width) =
            scalar.value < 0x100 ? ("x", 2) : scalar.value < 0x1_0000 ? ("u", 4) : ("U", 8)
          let digits = String(scalar.value, radix: 16)
          escaped =
            "\\\(mark)" + String(repeating: "0", count: max(0, width - digits.count)) + digits
        }
      }
      if let escaped {
        builder.append(self, from: plain, to: offset)
        builder.append(escaped, origin: origin(at: offset))
        plain = next
      }
      offset = next
    }
    builder.append(self, from: plain, to: bytes.count)
    builder.append(quote, origin: outer)
  }

  /// HTML with `& < > " '` escaped as markupsafe does.
  var escapedHTML: Text {
    if isMarkup { return self }
    guard bytes.contains(where: { [0x26, 0x3C, 0x3E, 0x22, 0x27].contains($0) }) else {
      return marked(true)
    }
    return mapScalars { scalar, _ in
      switch scalar {
      case "&": "&amp;"
      case "<": "&lt;"
      case ">": "&gt;"
      case "\"": "&#34;"
      case "'": "&#39;"
      default: nil
      }
    }.marked(true)
  }
}
