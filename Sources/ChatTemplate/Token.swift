// The tokens of a template, as jinja2's lexer names them.

/// A lexical element of a template.
struct Token: Sendable {
  /// The kinds of tokens.
  enum Kind: Sendable, Equatable {
    case data, variableBegin, variableEnd, blockBegin, blockEnd
    case name, string, integer, float
    case add, sub, mul, div, floorDiv, mod, pow, tilde
    case lparen, rparen, lbracket, rbracket, lbrace, rbrace
    case eq, ne, lt, lteq, gt, gteq, assign
    case dot, colon, comma, semicolon, pipe
    case end
  }

  let kind: Kind
  /// Text of a name, string or data token; digits of a number.
  let text: [UInt8]
  let line: Int
  /// Byte offset in the source.
  let offset: Int

  var name: String { String(decoding: text, as: UTF8.self) }

  /// Whether this is the name `word`.
  func isName(_ word: StaticString) -> Bool {
    guard kind == .name, text.count == word.utf8CodeUnitCount else { return false }
    return word.withUTF8Buffer { text.elementsEqual($0) }
  }

  /// How error messages name the token.
  var described: String {
    switch kind {
    case .end: "end of template"
    case .blockEnd: "end of statement block"
    case .variableEnd: "end of print statement"
    case .blockBegin: "begin of statement block"
    case .variableBegin: "begin of print statement"
    case .data: "template data"
    default: name
    }
  }
}
