// The expression half of the parser: precedence as in jinja2's parser.py, from conditional expressions
// down to literals, and assignment targets.

extension Parser {
  private func make(_ kind: Expression.Kind, _ line: Int) throws(SyntaxFault) -> Expression {
    let expression = Expression(kind, line: line)
    guard expression.depth <= TemplateLimits.sourceDepth else {
      throw fault("an expression of more than \(TemplateLimits.sourceDepth) nested operations")
    }
    return expression
  }

  // MARK: Targets

  /// One name.
  mutating func parseNameTarget() throws(SyntaxFault) -> String {
    let token = try expect(.name, "name")
    if isConstantName(token) { throw fault("can't assign to 'const'", line: token.line) }
    return token.name
  }

  private func isConstantName(_ token: Token) -> Bool {
    ["true", "false", "none", "True", "False", "None"].contains(token.name)
  }

  /// Names, tuples of names, and namespace attributes where allowed.
  mutating func parseTarget(stop: StaticString?, allowsNamespace: Bool) throws(SyntaxFault)
    -> Target
  {
    try nested { (p) throws(SyntaxFault) in
      var items: [Target] = []
      var isTuple = false
      while true {
        if !items.isEmpty { try p.expect(.comma, ",") }
        if p.isTupleEnd(stop) { break }
        items.append(try p.parsePrimaryTarget(allowsNamespace))
        if p.current.kind == .comma { isTuple = true } else { break }
      }
      if !isTuple {
        guard let only = items.first else {
          throw p.fault("Expected an expression, got '\(p.current.described)'")
        }
        return only
      }
      return .tuple(items)
    }
  }

  private mutating func parsePrimaryTarget(_ allowsNamespace: Bool) throws(SyntaxFault) -> Target {
    if current.kind == .lparen {
      next()
      let target = try parseTarget(stop: nil, allowsNamespace: false)
      try expect(.rparen, ")")
      return target
    }
    guard current.kind == .name else {
      throw fault("can't assign to '\(current.described)'")
    }
    let name = try parseNameTarget()
    if allowsNamespace, skip(.dot) {
      let attribute = try expect(.name, "name").name
      return .namespace(id(of: name), attribute: attribute)
    }
    return .name(id(of: name))
  }

  // MARK: Operators

  mutating func parseExpression(allowsConditional: Bool = true) throws(SyntaxFault) -> Expression {
    try nested { (p) throws(SyntaxFault) in
      allowsConditional ? try p.parseConditional() : try p.parseOr()
    }
  }

  private mutating func parseConditional() throws(SyntaxFault) -> Expression {
    var expression = try parseOr()
    while current.isName("if") {
      let line = next().line
      let test = try parseOr()
      var otherwise: Expression?
      if skip(name: "else") {
        otherwise = try nested { (p) throws(SyntaxFault) in try p.parseConditional() }
      }
      expression = try make(
        .conditional(test: test, then: expression, otherwise: otherwise), line)
    }
    return expression
  }

  private mutating func parseOr() throws(SyntaxFault) -> Expression {
    var left = try parseAnd()
    while current.isName("or") {
      let line = next().line
      left = try make(.or(left, try parseAnd()), line)
    }
    return left
  }

  private mutating func parseAnd() throws(SyntaxFault) -> Expression {
    var left = try parseNot()
    while current.isName("and") {
      let line = next().line
      left = try make(.and(left, try parseNot()), line)
    }
    return left
  }

  private mutating func parseNot() throws(SyntaxFault) -> Expression {
    guard current.isName("not") else { return try parseCompare() }
    let line = next().line
    let operand = try nested { (p) throws(SyntaxFault) in try p.parseNot() }
    return try make(.not(operand), line)
  }

  private mutating func parseCompare() throws(SyntaxFault) -> Expression {
    let line = current.line
    let first = try parseSum()
    var rest: [(comparison: Comparison, right: Expression)] = []
    while true {
      let comparison: Comparison
      switch current.kind {
      case .eq: comparison = .equal
      case .ne: comparison = .notEqual
      case .lt: comparison = .less
      case .lteq: comparison = .lessOrEqual
      case .gt: comparison = .greater
      case .gteq: comparison = .greaterOrEqual
      default:
        if current.isName("in") {
          comparison = .contained
        } else if current.isName("not"), following.isName("in") {
          next()
          comparison = .notContained
        } else {
          return rest.isEmpty ? first : try make(.compare(first, rest), line)
        }
      }
      next()
      rest.append((comparison, try parseSum()))
    }
  }

  private mutating func parseSum() throws(SyntaxFault) -> Expression {
    var left = try parseConcat()
    while current.kind == .add || current.kind == .sub {
      let token = next()
      let right = try parseConcat()
      left = try make(.binary(token.kind == .add ? .add : .subtract, left, right), token.line)
    }
    return left
  }

  private mutating func parseConcat() throws(SyntaxFault) -> Expression {
    let line = current.line
    var parts = [try parseProduct()]
    while skip(.tilde) { parts.append(try parseProduct()) }
    return parts.count == 1 ? parts[0] : try make(.concat(parts), line)
  }

  private mutating func parseProduct() throws(SyntaxFault) -> Expression {
    var left = try parsePower()
    while true {
      let operation: BinaryOperator
      switch current.kind {
      case .mul: operation = .multiply
      case .div: operation = .divide
      case .floorDiv: operation = .floorDivide
      case .mod: operation = .modulo
      default: return left
      }
      let line = next().line
      left = try make(.binary(operation, left, try parsePower()), line)
    }
  }

  private mutating func parsePower() throws(SyntaxFault) -> Expression {
    var left = try parseUnary()
    while current.kind == .pow {
      let line = next().line
      left = try make(.binary(.power, left, try parseUnary()), line)
    }
    return left
  }

  private mutating func parseUnary(allowsFilter: Bool = true) throws(SyntaxFault) -> Expression {
    var node: Expression
    let token = current
    if token.kind == .sub || token.kind == .add {
      next()
      let operand = try nested { (p) throws(SyntaxFault) in try p.parseUnary(allowsFilter: false) }
      node = try make(.unary(token.kind == .sub ? .minus : .plus, operand), token.line)
    } else {
      node = try parsePrimary()
    }
    node = try parsePostfix(node)
    return allowsFilter ? try parseFilterExpression(node) : node
  }

  // MARK: Primaries

  private mutating func parsePrimary() throws(SyntaxFault) -> Expression {
    let token = current
    switch token.kind {
    case .name:
      next()
      switch token.name {
      case "true", "True": return try make(.literal(.bool(true)), token.line)
      case "false", "False": return try make(.literal(.bool(false)), token.line)
      case "none", "None": return try make(.literal(.none), token.line)
      default: return try make(.name(reading(token.name)), token.line)
      }
    case .string:
      var bytes: [UInt8] = []
      while current.kind == .string { bytes += next().text }
      return try make(.literal(.string(Text(bytes))), token.line)
    case .integer: return try make(.literal(try integer(next())), token.line)
    case .float:
      next()
      return try make(.literal(.double(Double(token.name) ?? .infinity)), token.line)
    case .lparen:
      next()
      let tuple = try parseTuple(isParenthesized: true)
      try expect(.rparen, ")")
      return tuple
    case .lbracket: return try parseList()
    case .lbrace: return try parseDict()
    default: throw fault("unexpected '\(token.described)'")
    }
  }

  /// The number of a name that is read, noting the special ones.
  private mutating func reading(_ name: String) -> Int {
    switch name {
    case "caller": specialNames.insert(.caller)
    case "kwargs": specialNames.insert(.kwargs)
    case "varargs": specialNames.insert(.varargs)
    default: break
    }
    return id(of: name)
  }

  private func integer(_ token: Token) throws(SyntaxFault) -> Literal {
    var digits = token.text
    var radix: UInt32 = 10
    if digits.count > 2, digits[0] == 0x30, !digits[1].isDigit {
      radix = digits[1] | 0x20 == 0x78 ? 16 : digits[1] | 0x20 == 0x6F ? 8 : 2
      digits.removeFirst(2)
    }
    guard digits.count <= 4300 else {
      throw fault("Exceeds the limit (4300 digits) for integer string conversion")
    }
    guard let value = BigInteger(digits, radix: radix) else { throw fault("invalid integer") }
    return value.int.map { .int($0) } ?? .big(value)
  }

  func isTupleEnd(_ stop: StaticString?) -> Bool {
    switch current.kind {
    case .variableEnd, .blockEnd, .rparen: return true
    default: return stop.map { current.isName($0) } ?? false
    }
  }

  mutating func parseTuple(
    allowsConditional: Bool = true, stop: StaticString? = nil, isParenthesized: Bool = false
  ) throws(SyntaxFault) -> Expression {
    let line = current.line
    var items: [Expression] = []
    var isTuple = false
    while true {
      if !items.isEmpty { try expect(.comma, ",") }
      if isTupleEnd(stop) { break }
      items.append(try parseExpression(allowsConditional: allowsConditional))
      if current.kind == .comma { isTuple = true } else { break }
    }
    if !isTuple {
      if let only = items.first { return only }
      guard isParenthesized else {
        throw fault("Expected an expression, got '\(current.described)'")
      }
    }
    return try make(.tuple(items), line)
  }

  private mutating func parseList() throws(SyntaxFault) -> Expression {
    let line = next().line
    var items: [Expression] = []
    while current.kind != .rbracket {
      if !items.isEmpty { try expect(.comma, ",") }
      if current.kind == .rbracket { break }
      items.append(try parseExpression())
    }
    next()
    return try make(.list(items), line)
  }

  private mutating func parseDict() throws(SyntaxFault) -> Expression {
    let line = next().line
    var pairs: [(key: Expression, value: Expression)] = []
    while current.kind != .rbrace {
      if !pairs.isEmpty { try expect(.comma, ",") }
      if current.kind == .rbrace { break }
      let key = try parseExpression()
      try expect(.colon, ":")
      pairs.append((key, try parseExpression()))
    }
    next()
    return try make(.dict(pairs), line)
  }

  // MARK: Postfix, filters and tests

  private mutating func parsePostfix(_ start: Expression) throws(SyntaxFault) -> Expression {
    var node = start
    while true {
      switch current.kind {
      case .dot, .lbracket: node = try parseSubscript(node)
      case .lparen: node = try parseCall(node)
      default: return node
      }
    }
  }

  private mutating func parseFilterExpression(_ start: Expression) throws(SyntaxFault) -> Expression
  {
    var node = start
    while true {
      if current.kind == .pipe {
        node = try parseFilterChain(node, startsInline: false)
      } else if current.isName("is") {
        node = try parseTest(node)
      } else if current.kind == .lparen {
        node = try parseCall(node)
      } else {
        return node
      }
    }
  }

  private mutating func parseCall(_ callee: Expression) throws(SyntaxFault) -> Expression {
    let line = current.line
    let arguments = try parseArguments()
    return try make(.call(callee, arguments), line)
  }

  private mutating func parseSubscript(_ node: Expression) throws(SyntaxFault) -> Expression {
    let token = next()
    if token.kind == .dot {
      let attribute = next()
      if attribute.kind == .name {
        return try make(.attribute(node, Text(attribute.text)), token.line)
      }
      guard attribute.kind == .integer else { throw fault("expected name or number") }
      let index = try make(.literal(try integer(attribute)), token.line)
      return try make(.item(node, index), token.line)
    }
    if isSliceAhead() { return try parseSlice(node, token.line) }
    var items: [Expression] = []
    while current.kind != .rbracket {
      if !items.isEmpty { try expect(.comma, ",") }
      items.append(try parseExpression())
      if current.kind == .colon {
        if items.count == 1 { return try parseSlice(node, token.line, first: items[0]) }
        throw fault("invalid syntax: a slice in a tuple of subscripts")
      }
    }
    next()
    let index = items.count == 1 ? items[0] : try make(.tuple(items), token.line)
    return try make(.item(node, index), token.line)
  }

  private func isSliceAhead() -> Bool { current.kind == .colon }

  /// The rest of a slice from its first colon on.
  private mutating func parseSlice(
    _ node: Expression, _ line: Int, first: Expression? = nil
  ) throws(SyntaxFault) -> Expression {
    try expect(.colon, ":")
    var stop: Expression?
    var step: Expression?
    if current.kind != .colon && current.kind != .rbracket { stop = try parseExpression() }
    if skip(.colon), current.kind != .rbracket { step = try parseExpression() }
    try expect(.rbracket, "]")
    return try make(.slice(node, start: first, stop: stop, step: step), line)
  }

  mutating func parseArguments() throws(SyntaxFault) -> CallArguments {
    let start = try expect(.lparen, "(")
    var arguments = CallArguments()
    var needsComma = false
    func invalid() -> SyntaxFault {
      fault("invalid syntax for function call expression", line: start.line)
    }
    while current.kind != .rparen {
      if needsComma {
        try expect(.comma, ",")
        if current.kind == .rparen { break }
      }
      if current.kind == .mul {
        guard arguments.variadic == nil, arguments.variadicKeywords == nil else { throw invalid() }
        next()
        arguments.variadic = try parseExpression()
      } else if current.kind == .pow {
        guard arguments.variadicKeywords == nil else { throw invalid() }
        next()
        arguments.variadicKeywords = try parseExpression()
      } else if current.kind == .name, following.kind == .assign {
        guard arguments.variadicKeywords == nil else { throw invalid() }
        let name = next().name
        next()
        if arguments.keywords.contains(where: { $0.name == name }) {
          throw fault("keyword argument repeated: \(name)")
        }
        arguments.keywords.append((name, try parseExpression()))
      } else {
        guard arguments.variadic == nil, arguments.variadicKeywords == nil,
          arguments.keywords.isEmpty
        else { throw invalid() }
        arguments.positional.append(try parseExpression())
      }
      needsComma = true
    }
    next()
    return arguments
  }

  /// `| name(args)` any number of times; `node` is nil in filter blocks.
  mutating func parseFilterChain(
    _ start: Expression?, startsInline: Bool
  ) throws(SyntaxFault) -> Expression {
    var node = start
    var isFirst = startsInline
    repeat {
      if !isFirst { try expect(.pipe, "|") }
      isFirst = false
      let token = try expect(.name, "name")
      let name = try parseDottedName(token)
      let arguments = current.kind == .lparen ? try parseArguments() : CallArguments()
      node = try make(.filter(node, name: name, arguments), token.line)
    } while current.kind == .pipe
    guard let node else { throw fault("expected a filter") }
    return node
  }

  private mutating func parseDottedName(_ token: Token) throws(SyntaxFault) -> String {
    var name = token.name
    while skip(.dot) { name += "." + (try expect(.name, "name").name) }
    return name
  }

  private mutating func parseTest(_ node: Expression) throws(SyntaxFault) -> Expression {
    let line = next().line
    let isNegated = skip(name: "not")
    let name = try parseDottedName(try expect(.name, "name"))
    var arguments = CallArguments()
    switch current.kind {
    case .lparen: arguments = try parseArguments()
    case .name, .string, .integer, .float, .lbracket, .lbrace:
      if current.isName("else") || current.isName("or") || current.isName("and") { break }
      if current.isName("is") { throw fault("You cannot chain multiple tests with is") }
      let primary = try nested { (p) throws(SyntaxFault) in try p.parsePrimary() }
      arguments.positional = [try parsePostfix(primary)]
    default: break
    }
    let test = try make(.test(node, name: name, arguments), line)
    return isNegated ? try make(.not(test), line) : test
  }
}
