// Recursive descent over the tokens, rule for rule as jinja2's parser.py. This file has the statements;
// expressions are in Parser+Expressions.swift. It checks syntax only; names mean nothing yet.

/// Parses one template.
struct Parser {
  var tokens: [Token]
  var position = 0
  let source: [UInt8]
  /// Special names read so far in the innermost macro.
  var specialNames: SpecialNames = []
  /// Current nesting of blocks and parentheses.
  var depth = 0
  private var nameIDs: [String: Int] = [:]
  private var names: [String] = []
  private var blocks: [String: Block] = [:]
  private var hasGenerationBlocks = false
  /// Whether `break` has a loop to leave, outermost function first.
  private var loopDepths: [Int] = [0]
  private var openTags: [String] = []

  /// Parses `source` (UTF-8).
  static func parse(_ source: [UInt8], options: LexerOptions) throws(SyntaxFault) -> Program {
    guard source.count <= TemplateLimits.sourceBytes else {
      throw SyntaxFault(
        message:
          "a template of \(source.count) bytes; at most \(TemplateLimits.sourceBytes) are read",
        line: 1, offset: 0)
    }
    var lexer = Lexer(source, options: options)
    let tokens = try lexer.tokenize()
    var parser = Parser(tokens: tokens, source: lexer.source)
    let body = try parser.parseBody(until: nil)
    return Program(
      source: lexer.source, body: body, names: parser.names, blocks: parser.blocks,
      hasGenerationBlocks: parser.hasGenerationBlocks)
  }

  private init(tokens: [Token], source: [UInt8]) {
    self.tokens = tokens
    self.source = source
  }

  // MARK: Tokens

  var current: Token { tokens[position] }

  /// The token after the current one.
  var following: Token { tokens[min(position + 1, tokens.count - 1)] }

  /// Returns the current token and goes on to the next.
  @discardableResult
  mutating func next() -> Token {
    let token = tokens[position]
    if position + 1 < tokens.count { position += 1 }
    return token
  }

  mutating func skip(_ kind: Token.Kind) -> Bool {
    guard current.kind == kind else { return false }
    next()
    return true
  }

  mutating func skip(name: StaticString) -> Bool {
    guard current.isName(name) else { return false }
    next()
    return true
  }

  @discardableResult
  mutating func expect(_ kind: Token.Kind, _ described: String) throws(SyntaxFault) -> Token {
    guard current.kind == kind else {
      throw current.kind == .end
        ? fault("unexpected end of template, expected '\(described)'.")
        : fault("expected token '\(described)', got '\(current.described)'")
    }
    return next()
  }

  @discardableResult
  mutating func expect(name: StaticString) throws(SyntaxFault) -> Token {
    guard current.isName(name) else {
      throw current.kind == .end
        ? fault("unexpected end of template, expected '\(name)'.")
        : fault("expected token '\(name)', got '\(current.described)'")
    }
    return next()
  }

  func fault(_ message: String, line: Int? = nil) -> SyntaxFault {
    SyntaxFault(message: message, line: line ?? current.line, offset: current.offset)
  }

  /// The number of a name.
  mutating func id(of name: String) -> Int {
    if let id = nameIDs[name] { return id }
    names.append(name)
    nameIDs[name] = names.count - 1
    return names.count - 1
  }

  /// Runs `body` one level deeper; too deep is an error rather than a stack overflow.
  mutating func nested<T>(
    _ body: (inout Parser) throws(SyntaxFault) -> T
  ) throws(SyntaxFault) -> T {
    guard depth < TemplateLimits.sourceDepth else {
      throw fault("nested deeper than \(TemplateLimits.sourceDepth) levels")
    }
    depth += 1
    let result = try body(&self)
    depth -= 1
    return result
  }

  // MARK: Statements

  /// Statements up to one of the tags `end` (not consumed), or to the end of the template.
  private mutating func parseBody(until end: [StaticString]?) throws(SyntaxFault) -> [Statement] {
    var body: [Statement] = []
    var output: [OutputItem] = []
    func flush(_ body: inout [Statement], _ output: inout [OutputItem]) {
      if !output.isEmpty { body.append(.output(output)) }
      output = []
    }
    while true {
      let token = current
      switch token.kind {
      case .end:
        flush(&body, &output)
        guard let end else { return body }
        throw unexpectedEnd(expecting: end)
      case .data:
        output.append(.data(Text(token.text)))
        next()
      case .variableBegin:
        next()
        let start = current.offset
        let expression = try parseTuple()
        let site = Site(line: token.line, start: start, end: current.offset)
        output.append(.expression(expression, site))
        try expect(.variableEnd, "end of print statement")
      case .blockBegin:
        flush(&body, &output)
        next()
        if let end, end.contains(where: { current.isName($0) }) { return body }
        if let statement = try nested({ (p) throws(SyntaxFault) in try p.parseStatement(end) }) {
          body.append(statement)
        }
        try expect(.blockEnd, "end of statement block")
      default:
        throw fault("unexpected '\(token.described)'")
      }
    }
  }

  /// `:`? `%}` statements, up to one of the tags `end`.
  private mutating func parseBlockBody(_ end: StaticString...) throws(SyntaxFault) -> [Statement] {
    _ = skip(.colon)
    try expect(.blockEnd, "end of statement block")
    return try parseBody(until: end)
  }

  private func unexpectedEnd(expecting end: [StaticString]) -> SyntaxFault {
    let tags = end.map { "'\($0)'" }.joined(separator: " or ")
    let open =
      openTags.last.map { " The innermost block that needs to be closed is '\($0)'." } ?? ""
    return fault(
      "Unexpected end of template. Jinja was looking for the following tags: \(tags).\(open)")
  }

  private mutating func parseStatement(_ end: [StaticString]?) throws(SyntaxFault) -> Statement? {
    let token = current
    guard token.kind == .name else { throw fault("tag name expected") }
    openTags.append(token.name)
    defer { openTags.removeLast() }
    next()
    let start = token.offset
    func site(_ parser: Parser) -> Site {
      Site(line: token.line, start: start, end: parser.current.offset)
    }
    switch token.name {
    case "for": return .forLoop(try parseFor(token))
    case "if": return try parseIf(token)
    case "set": return try parseSet(token)
    case "macro": return .macro(try parseMacro(token))
    case "call": return try parseCallBlock(token)
    case "filter":
      let filter = try parseFilterChain(nil, startsInline: true)
      let here = site(self)
      let body = try parseBlockBody("endfilter")
      next()
      return .filterBlock(filter, body: body, here)
    case "with": return try parseWith(token)
    case "print":
      var items: [OutputItem] = []
      while current.kind != .blockEnd {
        if !items.isEmpty { try expect(.comma, ",") }
        let expression = try parseExpression()
        items.append(.expression(expression, site(self)))
      }
      return .output(items)
    case "generation":
      hasGenerationBlocks = true
      let here = site(self)
      loopDepths.append(0)
      let body = try parseBlockBody("endgeneration")
      loopDepths.removeLast()
      next()
      return .generation(body: body, here)
    case "break", "continue":
      guard let loops = loopDepths.last, loops > 0 else {
        throw fault("'\(token.name)' outside loop", line: token.line)
      }
      return token.name == "break" ? .breakLoop : .continueLoop
    case "block": return .block(try parseNamedBlock())
    case "autoescape":
      let expression = try parseExpression()
      let here = site(self)
      let body = try parseBlockBody("endautoescape")
      next()
      return .autoescape(expression, body: body, here)
    case "include": return try parseInclude(token)
    case "extends", "import", "from":
      return try parseImport(token)
    default:
      position -= 1
      throw unknownTag(token, expecting: end)
    }
  }

  private func unknownTag(_ token: Token, expecting end: [StaticString]?) -> SyntaxFault {
    var message = "Encountered unknown tag '\(token.name)'."
    if let end {
      let tags = end.map { "'\($0)'" }.joined(separator: " or ")
      message += " Jinja was looking for the following tags: \(tags)."
      if openTags.count > 1 {
        message +=
          " The innermost block that needs to be closed is '\(openTags[openTags.count - 2])'."
      }
    }
    return fault(message, line: token.line)
  }

  private mutating func parseFor(_ token: Token) throws(SyntaxFault) -> ForLoop {
    let target = try parseTarget(stop: "in", allowsNamespace: false)
    try rejectLoopTarget(target, token)
    try expect(name: "in")
    let iterable = try parseTuple(allowsConditional: false, stop: "recursive")
    let filter = skip(name: "if") ? try parseExpression() : nil
    let isRecursive = skip(name: "recursive")
    let site = Site(line: token.line, start: token.offset, end: current.offset)
    loopDepths[loopDepths.count - 1] += 1
    loopTargets += 1
    let body = try parseBlockBody("endfor", "else")
    loopDepths[loopDepths.count - 1] -= 1
    var otherwise: [Statement] = []
    if next().isName("else") {
      otherwise = try parseBlockBody("endfor")
      next()
    }
    loopTargets -= 1
    return ForLoop(
      target: target, iterable: iterable, filter: filter, isRecursive: isRecursive, body: body,
      otherwise: otherwise, site: site)
  }

  /// Loops around the current place, macros between them included.
  private var loopTargets = 0

  private func rejectLoopTarget(_ target: Target, _ token: Token) throws(SyntaxFault) {
    switch target {
    case .name(let id):
      if names[id] == "loop" {
        throw fault("Can't assign to special loop variable in for-loop target", line: token.line)
      }
    case .tuple(let items): for item in items { try rejectLoopTarget(item, token) }
    case .namespace: break
    }
  }

  private mutating func parseIf(_ token: Token) throws(SyntaxFault) -> Statement {
    var branches: [IfBranch] = []
    var start = token
    while true {
      let test = try parseTuple(allowsConditional: false)
      let site = Site(line: start.line, start: start.offset, end: current.offset)
      let body = try parseBlockBody("elif", "else", "endif")
      branches.append(IfBranch(test: test, body: body, site: site))
      let tag = next()
      if tag.isName("elif") {
        start = tag
        continue
      }
      var otherwise: [Statement] = []
      if tag.isName("else") {
        otherwise = try parseBlockBody("endif")
        next()
      }
      return .ifElse(branches: branches, otherwise: otherwise)
    }
  }

  private mutating func parseSet(_ token: Token) throws(SyntaxFault) -> Statement {
    let target = try parseTarget(stop: nil, allowsNamespace: true)
    if loopTargets > 0 { try rejectLoopTarget(target, token) }
    if skip(.assign) {
      let value = try parseTuple()
      return .set(target, value, Site(line: token.line, start: token.offset, end: current.offset))
    }
    let filter = current.kind == .pipe ? try parseFilterChain(nil, startsInline: false) : nil
    let site = Site(line: token.line, start: token.offset, end: current.offset)
    let body = try parseBlockBody("endset")
    next()
    return .setBlock(target, filter: filter, body: body, site)
  }

  private mutating func parseWith(_ token: Token) throws(SyntaxFault) -> Statement {
    var targets: [Target] = []
    var values: [Expression] = []
    while current.kind != .blockEnd {
      if !targets.isEmpty { try expect(.comma, ",") }
      targets.append(try parseTarget(stop: nil, allowsNamespace: false))
      try expect(.assign, "=")
      values.append(try parseExpression())
    }
    let site = Site(line: token.line, start: token.offset, end: current.offset)
    let body = try parseBlockBody("endwith")
    next()
    return .with(targets: targets, values: values, body: body, site)
  }

  private mutating func parseSignature() throws(SyntaxFault) -> (
    parameters: [(id: Int, name: String)], defaults: [Expression]
  ) {
    var parameters: [(id: Int, name: String)] = []
    var defaults: [Expression] = []
    try expect(.lparen, "(")
    while current.kind != .rparen {
      if !parameters.isEmpty { try expect(.comma, ",") }
      let name = try parseNameTarget()
      if parameters.contains(where: { $0.name == name }) {
        throw fault("duplicate argument '\(name)' in a macro's signature")
      }
      parameters.append((id(of: name), name))
      if skip(.assign) {
        defaults.append(try parseExpression())
      } else if !defaults.isEmpty {
        throw fault("non-default argument follows default argument")
      }
    }
    next()
    return (parameters, defaults)
  }

  private mutating func parseFunctionBody(
    _ end: StaticString, name: String?, token: Token,
    signature: (parameters: [(id: Int, name: String)], defaults: [Expression])
  ) throws(SyntaxFault) -> MacroDefinition {
    let site = Site(line: token.line, start: token.offset, end: current.offset)
    let outer = specialNames
    specialNames = []
    loopDepths.append(0)
    let body = try parseBlockBody(end)
    loopDepths.removeLast()
    next()
    var uses = specialNames
    specialNames = outer.union(uses)
    let parameters = signature.parameters
    if uses.contains(.caller), let place = parameters.firstIndex(where: { $0.name == "caller" }) {
      guard place >= parameters.count - signature.defaults.count else {
        throw fault(
          "When defining macros or call blocks the special \"caller\" argument must be omitted "
            + "or be given a default.", line: token.line)
      }
    }
    if parameters.contains(where: { $0.name == "caller" }) && !uses.contains(.caller) {
      uses.remove(.caller)
    }
    return MacroDefinition(
      name: name, nameID: id(of: name ?? "caller"), parameters: parameters,
      defaults: signature.defaults, body: body, uses: uses, site: site)
  }

  private mutating func parseMacro(_ token: Token) throws(SyntaxFault) -> MacroDefinition {
    let name = try parseNameTarget()
    let signature = try parseSignature()
    return try parseFunctionBody("endmacro", name: name, token: token, signature: signature)
  }

  private mutating func parseCallBlock(_ token: Token) throws(SyntaxFault) -> Statement {
    let signature = current.kind == .lparen ? try parseSignature() : ([], [])
    let call = try parseExpression()
    guard case .call = call.kind else { throw fault("expected call", line: token.line) }
    let site = Site(line: token.line, start: token.offset, end: current.offset)
    let definition = try parseFunctionBody(
      "endcall", name: nil, token: token, signature: signature)
    return .callBlock(definition, call: call, site)
  }

  private mutating func parseNamedBlock() throws(SyntaxFault) -> Block {
    let name = try expect(.name, "name").name
    let isScoped = skip(name: "scoped")
    let isRequired = skip(name: "required")
    if current.kind == .sub {
      throw fault(
        "Block names in Jinja have to be valid Python identifiers and may not contain hyphens, "
          + "use an underscore instead.")
    }
    let isKnown = blocks[name] != nil
    let token = current
    loopDepths.append(0)
    let body = try parseBlockBody("endblock")
    loopDepths.removeLast()
    next()
    if current.kind == .name, current.name == name { next() }
    if isRequired { throw fault("Required block '\(name)' not found", line: token.line) }
    if isKnown { throw fault("block '\(name)' defined twice", line: token.line) }
    let block = Block(name: name, isScoped: isScoped, body: body)
    blocks[name] = block
    return block
  }

  private mutating func parseInclude(_ token: Token) throws(SyntaxFault) -> Statement {
    let template = try parseExpression()
    var ignoresMissing = false
    if current.isName("ignore"), following.isName("missing") {
      next()
      next()
      ignoresMissing = true
    }
    skipImportContext()
    let site = Site(line: token.line, start: token.offset, end: current.offset)
    return .include(template, ignoresMissing: ignoresMissing, site)
  }

  private mutating func skipImportContext() {
    if current.isName("with") || current.isName("without"), following.isName("context") {
      next()
      next()
    }
  }

  /// `extends`, `import` and `from` parse, but have nothing to load from.
  private mutating func parseImport(_ token: Token) throws(SyntaxFault) -> Statement {
    _ = try parseExpression()
    if token.isName("import") {
      try expect(name: "as")
      _ = try parseNameTarget()
      skipImportContext()
    } else if token.isName("from") {
      try expect(name: "import")
      while current.kind == .name {
        if current.isName("with") || current.isName("without"), following.isName("context") {
          break
        }
        _ = try parseNameTarget()
        if skip(name: "as") { _ = try parseNameTarget() }
        if !skip(.comma) { break }
      }
      skipImportContext()
    }
    return .unsupported(
      token.name, Site(line: token.line, start: token.offset, end: current.offset))
  }
}
