// Splits a template into tokens with jinja2's rules of whitespace control. It works on UTF-8 bytes and
// does not know what the tags mean (`raw` excepted, which is the lexer's business in Jinja too).

/// The whitespace options of Jinja's environment; chat templates use the defaults.
package struct LexerOptions: Sendable {
  /// Whether the newline after a block tag is dropped.
  package var trimBlocks = true
  /// Whether blanks before a block tag at a line's start are dropped.
  package var lstripBlocks = true
  /// Whether one newline at the template's end is kept.
  package var keepTrailingNewline = false

  /// The options transformers uses.
  package init() {}
}

/// A syntax failure before the template's name is known.
struct SyntaxFault: Error {
  let message: String
  let line: Int
  let offset: Int
}

/// Makes tokens of a template's source.
struct Lexer {
  /// The source with its newlines made "\n".
  let source: [UInt8]
  private let options: LexerOptions
  private var position = 0
  private var line = 1
  private var atLineStart = true
  private var tokens: [Token] = []

  init(_ source: [UInt8], options: LexerOptions) {
    var normalized: [UInt8] = []
    normalized.reserveCapacity(source.count)
    var i = 0
    while i < source.count {
      if source[i] == 0x0D {
        normalized.append(0x0A)
        if i + 1 < source.count && source[i + 1] == 0x0A { i += 1 }
      } else {
        normalized.append(source[i])
      }
      i += 1
    }
    if !options.keepTrailingNewline && normalized.last == 0x0A { normalized.removeLast() }
    self.source = normalized
    self.options = options
  }

  /// All tokens, ending with `.end`.
  mutating func tokenize() throws(SyntaxFault) -> [Token] {
    while position < source.count { try lexRoot() }
    emit(.end, [], at: source.count)
    return tokens
  }

  // MARK: Template data

  private mutating func lexRoot() throws(SyntaxFault) {
    let start = position
    guard let tag = findTag(from: start) else {
      emitData(source[start...], at: start)
      position = source.count
      return
    }
    let kind = source[tag + 1]
    if kind == 0x25, let raw = matchRaw(at: tag) {
      emitStripped(from: start, to: tag, sign: raw.sign, isVariable: false)
      atLineStart = source[raw.end - 1] == 0x0A
      advance(to: raw.end)
      try lexRawBody()
      return
    }
    let next = tag + 2 < source.count ? source[tag + 2] : 0
    let hasSign = next == 0x2D || next == 0x2B
    emitStripped(from: start, to: tag, sign: hasSign ? next : 0, isVariable: kind == 0x7B)
    advance(to: tag + (hasSign ? 3 : 2))
    atLineStart = false
    switch kind {
    case 0x23: try lexComment()
    case 0x7B:
      emit(.variableBegin, [], at: tag)
      try lexTag(isVariable: true)
    default:
      emit(.blockBegin, [], at: tag)
      try lexTag(isVariable: false)
    }
  }

  /// The next "{%", "{{" or "{#".
  private func findTag(from start: Int) -> Int? {
    var i = start
    while i + 1 < source.count {
      if source[i] == 0x7B {
        let next = source[i + 1]
        if next == 0x25 || next == 0x7B || next == 0x23 { return i }
      }
      i += 1
    }
    return nil
  }

  /// Emits the text before a tag, stripped as the tag's sign and the options say.
  private mutating func emitStripped(from start: Int, to end: Int, sign: UInt8, isVariable: Bool) {
    var stop = end
    if sign == 0x2D {
      stop = trimmedEnd(start, end)
    } else if sign != 0x2B && options.lstripBlocks && !isVariable {
      var lineStart = end
      while lineStart > start && source[lineStart - 1] != 0x0A { lineStart -= 1 }
      let isAtLineStart = lineStart > start || atLineStart
      if isAtLineStart && lineStart < end && trimmedEnd(lineStart, end) == lineStart {
        stop = lineStart
      }
    }
    emitData(source[start..<stop], at: start)
    advance(to: end)
  }

  private func trimmedEnd(_ start: Int, _ end: Int) -> Int {
    let text = Text(Array(source[start..<end]))
    var stop = text.bytes.count
    while stop > 0 {
      let (scalar, begin) = text.scalar(before: stop)
      if !scalar.isPythonSpace { break }
      stop = begin
    }
    return start + stop
  }

  /// Matches `{%[-+]? raw -?%}` at a tag.
  private func matchRaw(at tag: Int) -> (end: Int, sign: UInt8)? {
    var i = tag + 2
    var sign: UInt8 = 0
    if i < source.count, source[i] == 0x2D || source[i] == 0x2B {
      sign = source[i]
      i += 1
    }
    i = skipSpace(i)
    guard matches("raw", at: i) else { return nil }
    i = skipSpace(i + 3)
    if matches("-%}", at: i) { return (skipSpace(i + 3), sign) }
    return matches("%}", at: i) ? (i + 2, sign) : nil
  }

  private mutating func lexRawBody() throws(SyntaxFault) {
    let start = position
    var i = start
    while i + 1 < source.count {
      guard source[i] == 0x7B, source[i + 1] == 0x25 else {
        i += 1
        continue
      }
      var j = i + 2
      var sign: UInt8 = 0
      if j < source.count, source[j] == 0x2D || source[j] == 0x2B {
        sign = source[j]
        j += 1
      }
      j = skipSpace(j)
      if matches("endraw", at: j), let end = matchBlockEnd(at: skipSpace(j + 6)) {
        emitStripped(from: start, to: i, sign: sign, isVariable: false)
        atLineStart = source[end - 1] == 0x0A
        advance(to: end)
        return
      }
      i += 1
    }
    throw SyntaxFault(message: "Missing end of raw directive", line: line, offset: start)
  }

  private mutating func lexComment() throws(SyntaxFault) {
    let start = position
    var i = start
    while i + 1 < source.count {
      var end: Int?
      if matches("-#}", at: i) {
        end = skipSpace(i + 3)
      } else if matches("+#}", at: i) {
        end = i + 3
      } else if matches("#}", at: i) {
        end = i + 2
        if options.trimBlocks && i + 2 < source.count && source[i + 2] == 0x0A { end = i + 3 }
      }
      if let end {
        atLineStart = source[end - 1] == 0x0A
        advance(to: end)
        return
      }
      i += 1
    }
    throw SyntaxFault(message: "Missing end of comment tag", line: line, offset: start)
  }

  /// Matches the end of a block tag, with what it trims, and says where the text goes on.
  private func matchBlockEnd(at i: Int) -> Int? {
    if matches("+%}", at: i) { return i + 3 }
    if matches("-%}", at: i) { return skipSpace(i + 3) }
    guard matches("%}", at: i) else { return nil }
    return options.trimBlocks && i + 2 < source.count && source[i + 2] == 0x0A ? i + 3 : i + 2
  }

  private func matchVariableEnd(at i: Int) -> Int? {
    if matches("-}}", at: i) { return skipSpace(i + 3) }
    return matches("}}", at: i) ? i + 2 : nil
  }

  // MARK: Inside a tag

  private mutating func lexTag(isVariable: Bool) throws(SyntaxFault) {
    var brackets: [UInt8] = []
    while true {
      if brackets.isEmpty {
        let end = isVariable ? matchVariableEnd(at: position) : matchBlockEnd(at: position)
        if let end {
          emit(isVariable ? .variableEnd : .blockEnd, [], at: position)
          atLineStart = source[end - 1] == 0x0A
          advance(to: end)
          return
        }
      }
      guard position < source.count else { return }
      let space = skipSpace(position)
      if space > position {
        advance(to: space)
        continue
      }
      try lexExpressionToken(&brackets)
    }
  }

  private mutating func lexExpressionToken(_ brackets: inout [UInt8]) throws(SyntaxFault) {
    let start = position
    let byte = source[start]
    if byte.isDigit {
      lexNumber()
    } else if byte == 0x22 || byte == 0x27 {
      try lexString(byte)
    } else if isNameByte(byte) {
      try lexName()
    } else {
      guard let (kind, length) = matchOperator(at: start) else {
        let (scalar, _) = Text(Array(source[start..<min(start + 4, source.count)])).scalar(at: 0)
        throw SyntaxFault(
          message: "unexpected char '\(scalar)' at \(start)", line: line, offset: start)
      }
      switch byte {
      case 0x28: brackets.append(0x29)
      case 0x5B: brackets.append(0x5D)
      case 0x7B: brackets.append(0x7D)
      case 0x29, 0x5D, 0x7D:
        guard let expected = brackets.popLast() else {
          throw fault("unexpected '\(Unicode.Scalar(byte))'")
        }
        if expected != byte {
          throw fault(
            "unexpected '\(Unicode.Scalar(byte))', expected '\(Unicode.Scalar(expected))'")
        }
      default: break
      }
      emit(kind, Array(source[start..<start + length]), at: start)
      position += length
    }
  }

  private func matchOperator(at i: Int) -> (Token.Kind, Int)? {
    let next = i + 1 < source.count ? source[i + 1] : 0
    switch (source[i], next) {
    case (0x2F, 0x2F): return (.floorDiv, 2)
    case (0x2A, 0x2A): return (.pow, 2)
    case (0x3D, 0x3D): return (.eq, 2)
    case (0x21, 0x3D): return (.ne, 2)
    case (0x3E, 0x3D): return (.gteq, 2)
    case (0x3C, 0x3D): return (.lteq, 2)
    case (0x2B, _): return (.add, 1)
    case (0x2D, _): return (.sub, 1)
    case (0x2F, _): return (.div, 1)
    case (0x2A, _): return (.mul, 1)
    case (0x25, _): return (.mod, 1)
    case (0x7E, _): return (.tilde, 1)
    case (0x5B, _): return (.lbracket, 1)
    case (0x5D, _): return (.rbracket, 1)
    case (0x28, _): return (.lparen, 1)
    case (0x29, _): return (.rparen, 1)
    case (0x7B, _): return (.lbrace, 1)
    case (0x7D, _): return (.rbrace, 1)
    case (0x3E, _): return (.gt, 1)
    case (0x3C, _): return (.lt, 1)
    case (0x3D, _): return (.assign, 1)
    case (0x2E, _): return (.dot, 1)
    case (0x3A, _): return (.colon, 1)
    case (0x7C, _): return (.pipe, 1)
    case (0x2C, _): return (.comma, 1)
    case (0x3B, _): return (.semicolon, 1)
    default: return nil
    }
  }

  /// A run of digits with single underscores between them, from `i`; nil where there is no digit.
  private func digits(from i: Int, where accepts: (UInt8) -> Bool) -> Int? {
    guard i < source.count, accepts(source[i]) else { return nil }
    var end = i + 1
    while end < source.count {
      if accepts(source[end]) {
        end += 1
      } else if source[end] == 0x5F, end + 1 < source.count, accepts(source[end + 1]) {
        end += 2
      } else {
        break
      }
    }
    return end
  }

  private mutating func lexNumber() {
    let start = position
    let isDecimal: (UInt8) -> Bool = { $0.isDigit }
    let followsDot = start > 0 && source[start - 1] == 0x2E
    if !followsDot, let whole = digits(from: start, where: isDecimal) {
      var end = whole
      var isFloat = false
      if end < source.count, source[end] == 0x2E,
        let fraction = digits(from: end + 1, where: isDecimal)
      {
        end = fraction
        isFloat = true
      }
      if end < source.count, source[end] | 0x20 == 0x65 {
        var exponent = end + 1
        if exponent < source.count, source[exponent] == 0x2B || source[exponent] == 0x2D {
          exponent += 1
        }
        if let stop = digits(from: exponent, where: isDecimal) {
          end = stop
          isFloat = true
        }
      }
      if isFloat {
        emit(.float, source[start..<end].filter { $0 != 0x5F }, at: start)
        position = end
        return
      }
    }
    var end = start + 1
    if source[start] == 0x30 {
      let marker = start + 1 < source.count ? source[start + 1] | 0x20 : 0
      let accepts: ((UInt8) -> Bool)? =
        switch marker {
        case 0x62: { $0 == 0x30 || $0 == 0x31 }
        case 0x6F: { (0x30...0x37).contains($0) }
        case 0x78: { $0.isDigit || (0x61...0x66).contains($0 | 0x20) }
        default: nil
        }
      if let accepts {
        var first = start + 2
        if first < source.count, source[first] == 0x5F { first += 1 }
        if let stop = digits(from: first, where: accepts) { end = stop }
      } else if let stop = digits(from: start, where: { $0 == 0x30 }) {
        end = stop
      }
    } else if let stop = digits(from: start, where: isDecimal) {
      end = stop
    }
    emit(.integer, source[start..<end].filter { $0 != 0x5F }, at: start)
    position = end
  }

  private func isNameByte(_ byte: UInt8) -> Bool {
    byte.isDigit || byte == 0x5F || (0x61...0x7A).contains(byte | 0x20) || byte >= 0x80
  }

  private mutating func lexName() throws(SyntaxFault) {
    let start = position
    var end = start
    while end < source.count, isNameByte(source[end]) { end += 1 }
    let text = Text(Array(source[start..<end]))
    if !text.isASCII {
      for scalar in text.scalars where scalar.value >= 0x80 {
        guard scalar.properties.isXIDContinue else {
          throw fault("unexpected char '\(scalar)' at \(start)")
        }
      }
    }
    emit(.name, text.bytes, at: start)
    position = end
  }

  private mutating func lexString(_ quote: UInt8) throws(SyntaxFault) {
    let start = position
    var end = start + 1
    while end < source.count, source[end] != quote {
      end += source[end] == 0x5C ? 2 : 1
    }
    guard end < source.count else {
      throw fault("unexpected char '\(Unicode.Scalar(quote))' at \(start)")
    }
    let value = try StringEscapes.decode(source[(start + 1)..<end], line: line, offset: start)
    emit(.string, value, at: start)
    advance(to: end + 1)
  }

  // MARK: Helpers

  private func fault(_ message: String) -> SyntaxFault {
    SyntaxFault(message: message, line: line, offset: position)
  }

  private mutating func emit(_ kind: Token.Kind, _ text: [UInt8], at offset: Int) {
    tokens.append(Token(kind: kind, text: text, line: line, offset: offset))
  }

  private mutating func emitData(_ data: ArraySlice<UInt8>, at offset: Int) {
    if !data.isEmpty { emit(.data, Array(data), at: offset) }
  }

  private mutating func advance(to end: Int) {
    for byte in source[position..<end] where byte == 0x0A { line += 1 }
    position = end
  }

  private func matches(_ word: StaticString, at i: Int) -> Bool {
    let count = word.utf8CodeUnitCount
    guard i + count <= source.count else { return false }
    return word.withUTF8Buffer { source[i..<i + count].elementsEqual($0) }
  }

  /// The first position from `i` on that is not whitespace.
  private func skipSpace(_ i: Int) -> Int {
    var end = i
    while end < source.count {
      let byte = source[end]
      if byte < 0x80 {
        guard Unicode.Scalar(byte).isPythonSpace else { break }
        end += 1
      } else {
        let (scalar, length) = Text(Array(source[end..<min(end + 4, source.count)])).scalar(at: 0)
        guard scalar.isPythonSpace else { break }
        end += length
      }
    }
    return end
  }
}

extension UInt8 {
  /// Whether this is an ASCII digit.
  var isDigit: Bool { (0x30...0x39).contains(self) }
}
