// The syntax tree of a template. Immutable and shared by all renderings; names are numbers into the
// program's table, so that scopes need no hashing.

/// Where in the source a tag is.
struct Site: Sendable {
  let line: Int
  /// Byte offsets of the tag's inside.
  let start: Int
  let end: Int
}

/// A parsed template.
struct Program: Sendable {
  let source: [UInt8]
  let body: [Statement]
  /// Names by number.
  let names: [String]
  let blocks: [String: Block]
  let hasGenerationBlocks: Bool
}

/// An expression; `depth` counts the longest way down to a leaf.
final class Expression: Sendable {
  /// The kinds of expressions.
  enum Kind: Sendable {
    case literal(Literal)
    case name(Int)
    case list([Expression])
    case tuple([Expression])
    case dict([(key: Expression, value: Expression)])
    case unary(UnaryOperator, Expression)
    case binary(BinaryOperator, Expression, Expression)
    case and(Expression, Expression)
    case or(Expression, Expression)
    case not(Expression)
    case compare(Expression, [(comparison: Comparison, right: Expression)])
    case concat([Expression])
    case attribute(Expression, Text)
    case item(Expression, Expression)
    case slice(Expression, start: Expression?, stop: Expression?, step: Expression?)
    case call(Expression, CallArguments)
    case filter(Expression?, name: String, CallArguments)
    case test(Expression, name: String, CallArguments)
    case conditional(test: Expression, then: Expression, otherwise: Expression?)
  }

  let kind: Kind
  let depth: Int
  let line: Int

  init(_ kind: Kind, line: Int) {
    self.kind = kind
    self.line = line
    var deepest = 0
    Self.forEachChild(of: kind) { deepest = max(deepest, $0.depth) }
    depth = deepest + 1
  }

  /// Calls `body` with each direct subexpression.
  static func forEachChild(of kind: Kind, _ body: (Expression) -> Void) {
    switch kind {
    case .literal, .name: break
    case .list(let items), .tuple(let items), .concat(let items): items.forEach(body)
    case .dict(let pairs):
      for pair in pairs {
        body(pair.key)
        body(pair.value)
      }
    case .unary(_, let x), .not(let x), .attribute(let x, _): body(x)
    case .binary(_, let a, let b), .and(let a, let b), .or(let a, let b), .item(let a, let b):
      body(a)
      body(b)
    case .compare(let first, let rest):
      body(first)
      for operand in rest { body(operand.right) }
    case .slice(let x, let start, let stop, let step):
      body(x)
      for part in [start, stop, step] { if let part { body(part) } }
    case .call(let x, let arguments), .test(let x, _, let arguments):
      body(x)
      arguments.forEach(body)
    case .filter(let x, _, let arguments):
      if let x { body(x) }
      arguments.forEach(body)
    case .conditional(let test, let then, let otherwise):
      body(test)
      body(then)
      if let otherwise { body(otherwise) }
    }
  }
}

/// A constant in the source.
enum Literal: Sendable {
  case none
  case bool(Bool)
  case int(Int)
  case big(BigInteger)
  case double(Double)
  case string(Text)
}

/// Prefix operators.
enum UnaryOperator: Sendable { case minus, plus }

/// Arithmetic operators.
enum BinaryOperator: String, Sendable {
  case add = "+"
  case subtract = "-"
  case multiply = "*"
  case divide = "/"
  case floorDivide = "//"
  case modulo = "%"
  case power = "** or pow()"
}

/// Comparison operators.
enum Comparison: String, Sendable {
  case equal = "=="
  case notEqual = "!="
  case less = "<"
  case lessOrEqual = "<="
  case greater = ">"
  case greaterOrEqual = ">="
  case contained = "in"
  case notContained = "not in"
}

/// The arguments of a call, filter or test as written.
struct CallArguments: Sendable {
  var positional: [Expression] = []
  var keywords: [(name: String, value: Expression)] = []
  var variadic: Expression?
  var variadicKeywords: Expression?

  var isEmpty: Bool {
    positional.isEmpty && keywords.isEmpty && variadic == nil && variadicKeywords == nil
  }

  func forEach(_ body: (Expression) -> Void) {
    positional.forEach(body)
    for keyword in keywords { body(keyword.value) }
    if let variadic { body(variadic) }
    if let variadicKeywords { body(variadicKeywords) }
  }
}

/// What can be assigned to.
indirect enum Target: Sendable {
  case name(Int)
  case namespace(Int, attribute: String)
  case tuple([Target])
}

/// A part of an output statement.
enum OutputItem: Sendable {
  case data(Text)
  case expression(Expression, Site)
}

/// A statement.
indirect enum Statement: Sendable {
  case output([OutputItem])
  case forLoop(ForLoop)
  case ifElse(branches: [IfBranch], otherwise: [Statement])
  case set(Target, Expression, Site)
  case setBlock(Target, filter: Expression?, body: [Statement], Site)
  case macro(MacroDefinition)
  case callBlock(MacroDefinition, call: Expression, Site)
  case filterBlock(Expression, body: [Statement], Site)
  case with(targets: [Target], values: [Expression], body: [Statement], Site)
  case block(Block)
  case generation(body: [Statement], Site)
  case breakLoop
  case continueLoop
  case include(Expression, ignoresMissing: Bool, Site)
  case autoescape(Expression, body: [Statement], Site)
  case unsupported(String, Site)
}

/// A condition with its statements.
struct IfBranch: Sendable {
  let test: Expression
  let body: [Statement]
  let site: Site
}

/// A `for` statement.
final class ForLoop: Sendable {
  let target: Target
  let iterable: Expression
  let filter: Expression?
  let isRecursive: Bool
  let body: [Statement]
  let otherwise: [Statement]
  let site: Site

  init(
    target: Target, iterable: Expression, filter: Expression?, isRecursive: Bool,
    body: [Statement], otherwise: [Statement], site: Site
  ) {
    self.target = target
    self.iterable = iterable
    self.filter = filter
    self.isRecursive = isRecursive
    self.body = body
    self.otherwise = otherwise
    self.site = site
  }
}

/// A macro, or the body of a call block.
final class MacroDefinition: Sendable {
  /// Nil for a call block's body.
  let name: String?
  let nameID: Int
  let parameters: [(id: Int, name: String)]
  /// Defaults of the last parameters.
  let defaults: [Expression]
  let body: [Statement]
  /// Which of the special names the body reads without having them as parameters.
  let usesCaller: Bool
  let usesKwargs: Bool
  let usesVarargs: Bool
  let site: Site

  init(
    name: String?, nameID: Int, parameters: [(id: Int, name: String)], defaults: [Expression],
    body: [Statement], uses: SpecialNames, site: Site
  ) {
    self.name = name
    self.nameID = nameID
    self.parameters = parameters
    self.defaults = defaults
    self.body = body
    usesCaller = uses.contains(.caller)
    usesKwargs = uses.contains(.kwargs) && !parameters.contains { $0.name == "kwargs" }
    usesVarargs = uses.contains(.varargs) && !parameters.contains { $0.name == "varargs" }
    self.site = site
  }
}

/// Names with a meaning of their own inside macros.
struct SpecialNames: OptionSet, Sendable {
  let rawValue: Int
  static let caller = SpecialNames(rawValue: 1)
  static let kwargs = SpecialNames(rawValue: 2)
  static let varargs = SpecialNames(rawValue: 4)
}

/// A named block.
final class Block: Sendable {
  let name: String
  let isScoped: Bool
  let body: [Statement]

  init(name: String, isScoped: Bool, body: [Statement]) {
    self.name = name
    self.isScoped = isScoped
    self.body = body
  }
}
