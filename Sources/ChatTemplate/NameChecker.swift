// Refuses templates that name filters or tests there are none of. Jinja does this when it compiles, except
// directly inside an `if` or a conditional expression, where the name may be one that is never reached.

/// Walks a syntax tree for unknown filters and tests.
struct NameChecker {
  /// Throws for the first unknown name.
  static func check(_ program: Program) throws(SyntaxFault) {
    try check(program.body, isOptional: false)
  }

  private static func check(_ body: [Statement], isOptional: Bool) throws(SyntaxFault) {
    for statement in body { try check(statement, isOptional: isOptional) }
  }

  private static func check(_ statement: Statement, isOptional: Bool) throws(SyntaxFault) {
    switch statement {
    case .output(let items):
      for case .expression(let expression, _) in items {
        try check(expression, isOptional: isOptional)
      }
    case .forLoop(let loop):
      try check(loop.iterable, isOptional: isOptional)
      if let filter = loop.filter { try check(filter, isOptional: false) }
      try check(loop.body, isOptional: false)
      try check(loop.otherwise, isOptional: false)
    case .ifElse(let branches, let otherwise):
      for branch in branches {
        try check(branch.test, isOptional: true)
        try check(branch.body, isOptional: true)
      }
      try check(otherwise, isOptional: true)
    case .set(_, let expression, _): try check(expression, isOptional: isOptional)
    case .setBlock(_, let filter, let body, _):
      if let filter { try check(filter, isOptional: false) }
      try check(body, isOptional: false)
    case .macro(let definition): try check(definition)
    case .callBlock(let definition, let call, _):
      try check(call, isOptional: isOptional)
      try check(definition)
    case .filterBlock(let filter, let body, _):
      try check(filter, isOptional: false)
      try check(body, isOptional: false)
    case .with(_, let values, let body, _):
      for value in values { try check(value, isOptional: isOptional) }
      try check(body, isOptional: false)
    case .block(let block): try check(block.body, isOptional: false)
    case .generation(let body, _): try check(body, isOptional: false)
    case .autoescape(let flag, let body, _):
      try check(flag, isOptional: isOptional)
      try check(body, isOptional: false)
    case .include(let template, _, _): try check(template, isOptional: isOptional)
    case .breakLoop, .continueLoop, .unsupported: break
    }
  }

  private static func check(_ definition: MacroDefinition) throws(SyntaxFault) {
    for value in definition.defaults { try check(value, isOptional: false) }
    try check(definition.body, isOptional: false)
  }

  private static func check(_ expression: Expression, isOptional: Bool) throws(SyntaxFault) {
    var isOptional = isOptional
    switch expression.kind {
    case .filter(_, let name, _) where !isOptional && !Interpreter.filterNames.contains(name):
      throw SyntaxFault(message: "No filter named '\(name)'.", line: expression.line, offset: 0)
    case .test(_, let name, _) where !isOptional && !Interpreter.testNames.contains(name):
      throw SyntaxFault(message: "No test named '\(name)'.", line: expression.line, offset: 0)
    case .conditional: isOptional = true
    default: break
    }
    var children: [Expression] = []
    Expression.forEachChild(of: expression.kind) { children.append($0) }
    for child in children { try check(child, isOptional: isOptional) }
  }
}
