// From the text of a module pattern to its tree.

/// A set of bytes.
struct ByteSet: Sendable, Hashable {
  private var words = SIMD4<UInt64>.zero

  /// Every byte.
  static let any = ByteSet().inverted

  init(_ bytes: some Sequence<UInt8> = []) { for byte in bytes { insert(byte) } }

  mutating func insert(_ byte: UInt8) { words[Int(byte >> 6)] |= 1 << UInt64(byte & 63) }
  mutating func formUnion(_ other: ByteSet) { words |= other.words }
  func contains(_ byte: UInt8) -> Bool { words[Int(byte >> 6)] >> UInt64(byte & 63) & 1 == 1 }

  var inverted: ByteSet {
    var result = self
    result.words = ~words
    return result
  }
}

/// A part of a pattern.
indirect enum PatternNode {
  case byte(ByteSet)
  case sequence([PatternNode])
  case alternatives([PatternNode])
  case repetition(PatternNode, least: Int, most: Int?)
  case start, end
}

/// Reads Python's syntax: literals, `.`, classes, groups, alternatives, repetitions, `^`, `$`, `\d`, `\w`, `\s`.
struct PatternParser {
  private let source: String
  private let bytes: [UInt8]
  private var position = 0
  private var depth = 0

  private static let (depthLimit, countLimit) = (50, 1000)

  init(_ source: String) {
    self.source = source
    bytes = Array(source.utf8)
  }

  mutating func parse() throws(ModulePatternError) -> PatternNode {
    guard bytes.count <= 4096 else { throw failure("is longer than 4096 bytes") }
    let node = try alternatives()
    guard position == bytes.count else { throw failure("has an unmatched )") }
    return node
  }

  private func failure(_ problem: String) -> ModulePatternError {
    ModulePatternError(source: String(source.prefix(100)), problem: problem)
  }

  private var next: UInt8? { position < bytes.count ? bytes[position] : nil }

  private mutating func take(_ character: Unicode.Scalar) -> Bool {
    guard next == UInt8(ascii: character) else { return false }
    position += 1
    return true
  }

  private mutating func alternatives() throws(ModulePatternError) -> PatternNode {
    depth += 1
    defer { depth -= 1 }
    guard depth <= PatternParser.depthLimit else { throw failure("is nested too deeply") }
    var parts = [try sequence()]
    while take("|") { parts.append(try sequence()) }
    return parts.count == 1 ? parts[0] : .alternatives(parts)
  }

  private mutating func sequence() throws(ModulePatternError) -> PatternNode {
    var parts: [PatternNode] = []
    while let byte = next, byte != UInt8(ascii: "|"), byte != UInt8(ascii: ")") {
      parts.append(try repeated(try atom()))
    }
    return .sequence(parts)
  }

  private mutating func atom() throws(ModulePatternError) -> PatternNode {
    let byte = bytes[position]
    position += 1
    switch byte {
    case UInt8(ascii: "."): return .byte(.any)
    case UInt8(ascii: "^"): return .start
    case UInt8(ascii: "$"): return .end
    case UInt8(ascii: "["): return .byte(try characterClass())
    case UInt8(ascii: "\\"): return .byte(try escape())
    case UInt8(ascii: "("):
      if take("?") {
        guard take(":") else { throw failure("has a group of a kind that is not supported") }
      }
      let node = try alternatives()
      guard take(")") else { throw failure("has an unmatched (") }
      return node
    case UInt8(ascii: "*"), UInt8(ascii: "+"), UInt8(ascii: "?"):
      throw failure("has nothing to repeat")
    default: return .byte(ByteSet([byte]))
    }
  }

  private mutating func repeated(_ node: PatternNode) throws(ModulePatternError) -> PatternNode {
    let (least, most): (Int, Int?)
    if take("*") {
      (least, most) = (0, nil)
    } else if take("+") {
      (least, most) = (1, nil)
    } else if take("?") {
      (least, most) = (0, 1)
    } else if let range = try count() {
      (least, most) = range
    } else {
      return node
    }
    _ = take("?")  // a lazy repetition matches the same paths
    if let next, [UInt8](("*+?".utf8)).contains(next) { throw failure("repeats a repetition") }
    return .repetition(node, least: least, most: most)
  }

  /// `{2}`, `{2,}`, `{,3}` or `{2,3}`; any other brace stands for itself, as in Python.
  private mutating func count() throws(ModulePatternError) -> (Int, Int?)? {
    let start = position
    guard take("{") else { return nil }
    let least = number()
    let hasComma = take(",")
    let most = hasComma ? number() : least
    guard take("}"), least != nil || most != nil else {
      position = start
      return nil
    }
    guard least ?? 0 <= PatternParser.countLimit, most ?? 0 <= PatternParser.countLimit,
      least ?? 0 <= most ?? Int.max
    else { throw failure("has a repetition out of range") }
    return (least ?? 0, most)
  }

  private mutating func number() -> Int? {
    var digits = ""
    while let byte = next, (0x30...0x39).contains(byte) {
      digits.unicodeScalars.append(Unicode.Scalar(byte))
      position += 1
    }
    return digits.isEmpty ? nil : Int(digits) ?? Int.max
  }

  /// What a backslash makes of the next character.
  private mutating func escape() throws(ModulePatternError) -> ByteSet {
    guard let byte = next else { throw failure("ends in a backslash") }
    position += 1
    let digits = ByteSet(0x30...0x39)
    var word = digits
    word.formUnion(ByteSet(0x41...0x5A))
    word.formUnion(ByteSet(0x61...0x7A))
    word.insert(0x5F)
    let space = ByteSet([0x09, 0x0A, 0x0B, 0x0C, 0x0D, 0x20])
    switch byte {
    case UInt8(ascii: "d"): return digits
    case UInt8(ascii: "D"): return digits.inverted
    case UInt8(ascii: "w"): return word
    case UInt8(ascii: "W"): return word.inverted
    case UInt8(ascii: "s"): return space
    case UInt8(ascii: "S"): return space.inverted
    default:
      guard !word.contains(byte) || byte == 0x5F, byte < 0x80 else {
        throw failure("has an escape that is not supported")
      }
      return ByteSet([byte])
    }
  }

  private mutating func characterClass() throws(ModulePatternError) -> ByteSet {
    let isInverted = take("^")
    var set = ByteSet()
    var isFirst = true
    while let byte = next, isFirst || byte != UInt8(ascii: "]") {
      isFirst = false
      position += 1
      guard byte < 0x80 else { throw failure("has a class of characters that are not ASCII") }
      if byte == UInt8(ascii: "\\") {
        set.formUnion(try escape())
        continue
      }
      guard next == UInt8(ascii: "-"), position + 1 < bytes.count,
        bytes[position + 1] != UInt8(ascii: "]")
      else {
        set.insert(byte)
        continue
      }
      let last = bytes[position + 1]
      guard byte <= last, last < 0x80, last != UInt8(ascii: "\\") else {
        throw failure("has a range of characters that makes no sense")
      }
      set.formUnion(ByteSet(byte...last))
      position += 2
    }
    guard take("]") else { throw failure("has an unmatched [") }
    return isInverted ? set.inverted : set
  }
}
