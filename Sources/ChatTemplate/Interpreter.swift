// Executes statements. One interpreter serves one rendering: it holds the output, the origins of all
// inputs and what is left of the resources. Expressions are evaluated in Interpreter+Expressions.swift.

import OrderedJSON

/// One rendering of a program.
final class Interpreter {
  let program: Program
  var budget: Budget
  var origins = OriginTable()
  /// Current native recursion, see `enter`.
  var depth = 0
  /// Current macro calls.
  var callDepth = 0
  /// The tag being executed, for messages.
  var site = Site(line: 1, start: 0, end: 0)
  let root = Scope(parent: nil)
  /// Context variables and globals by name number; the outermost scope.
  var context: [Value?]
  /// Rendered text, and texts being captured, innermost last.
  private var main = TextBuilder()
  private var captures: [TextBuilder] = []
  /// Generation blocks in code points of the output, as transformers counts them.
  private(set) var generations: [Range<Int>] = []
  private var counted = (bytes: 0, scalars: 0)
  /// Objects that can be part of reference cycles or long chains, emptied at the end.
  var owned: [() -> Void] = []
  let clock: TemplateClock

  init(_ program: Program, limits: TemplateLimits, clock: TemplateClock) {
    self.program = program
    self.clock = clock
    budget = Budget(limits)
    context = Array(repeating: nil, count: program.names.count)
  }

  /// How a statement ended.
  enum Completion { case normal, breakLoop, continueLoop }

  /// Runs the whole program.
  func run() throws(Fault) -> TextBuilder {
    for (id, name) in program.names.enumerated() where context[id] == nil {
      context[id] = Self.globalNames.contains(name) ? Value(.function(FunctionObject(name))) : nil
    }
    _ = try execute(program.body, root)
    return main
  }

  /// Frees what reference counting would not.
  func tearDown() {
    for clear in owned { clear() }
    owned = []
    root.clear()
    context = []
  }

  // MARK: Output

  /// Appends to the output or the innermost capture.
  func emit(_ text: Text) throws(Fault) {
    try budget.step(text.bytes.count >> 5)
    let limit = budget.limits.outputBytes
    if captures.isEmpty {
      guard main.count + text.bytes.count <= limit else {
        throw Fault.limit("bytes of output", limit)
      }
      main.append(text)
    } else {
      let last = captures.count - 1
      guard captures[last].count + text.bytes.count <= limit else {
        throw Fault.limit("bytes of output", limit)
      }
      captures[last].append(text)
    }
  }

  /// Runs `body` and returns what it wrote, with how it ended.
  func capture(
    _ body: () throws(Fault) -> Completion
  ) throws(Fault) -> (text: Text, completion: Completion) {
    captures.append(TextBuilder())
    let completion = try body()
    let text = captures.removeLast().text
    try budget.allocate(text.bytes.count)
    return (text, completion)
  }

  /// Code points written to the main output so far.
  private func countMainScalars() -> Int {
    for byte in main.bytes[counted.bytes...] where byte & 0xC0 != 0x80 { counted.scalars += 1 }
    counted.bytes = main.count
    return counted.scalars
  }

  // MARK: Statements

  /// Runs statements in order.
  func execute(_ statements: [Statement], _ scope: Scope) throws(Fault) -> Completion {
    try enter()
    for statement in statements {
      let completion = try execute(statement, scope)
      if completion != .normal {
        leave()
        return completion
      }
    }
    leave()
    return .normal
  }

  private func execute(_ statement: Statement, _ scope: Scope) throws(Fault) -> Completion {
    try budget.step()
    switch statement {
    case .output(let items): try output(items, scope)
    case .forLoop(let loop): return try execute(loop, scope)
    case .ifElse(let branches, let otherwise):
      for branch in branches {
        site = branch.site
        if try isTrue(evaluate(branch.test, scope)) { return try execute(branch.body, scope) }
      }
      return try execute(otherwise, scope)
    case .set(let target, let expression, let site):
      self.site = site
      try assign(target, try evaluate(expression, scope), scope)
    case .setBlock(let target, let filter, let body, let site):
      return try setBlock(target, filter, body, site, scope)
    case .macro(let definition):
      scope.set(definition.nameID, makeMacro(definition, scope))
    case .callBlock(let definition, let call, let site):
      self.site = site
      let caller = makeMacro(definition, scope)
      try emit(try blockText(evaluateCall(call, scope, caller: caller)))
    case .filterBlock(let filter, let body, let site):
      let inner = Scope(parent: scope)
      let (text, completion) = try capture { () throws(Fault) in try self.execute(body, inner) }
      if completion != .normal { return completion }
      self.site = site
      try emit(try blockText(evaluateFilter(filter, inner, input: .string(text))))
    case .with(let targets, let values, let body, let site):
      self.site = site
      let inner = Scope(parent: scope)
      for (target, value) in zip(targets, values) {
        try assign(target, try evaluate(value, scope), inner)
      }
      return try execute(body, inner)
    case .block(let block):
      return try executeFunction(block.body, Scope(parent: block.isScoped ? scope : root))
    case .generation(let body, let site):
      try executeGeneration(body, site, scope)
    case .breakLoop: return .breakLoop
    case .continueLoop: return .continueLoop
    case .include(let template, let ignoresMissing, let site):
      self.site = site
      try include(template, ignoresMissing, scope)
    case .autoescape(let flag, let body, let site):
      self.site = site
      if try isTrue(evaluate(flag, scope)) {
        throw Fault(.notSupported, "autoescape is not supported in chat templates")
      }
      return try execute(body, Scope(parent: scope))
    case .unsupported(let tag, let site):
      self.site = site
      throw Fault(.type, "no loader for this environment specified ('\(tag)')")
    }
    return .normal
  }

  private func output(_ items: [OutputItem], _ scope: Scope) throws(Fault) {
    for item in items {
      switch item {
      case .data(let text): try emit(text)
      case .expression(let expression, let site):
        self.site = site
        try emit(try text(evaluate(expression, scope)))
      }
    }
  }

  /// A body that leaves no loop around it.
  private func executeFunction(_ body: [Statement], _ scope: Scope) throws(Fault) -> Completion {
    _ = try execute(body, scope)
    return .normal
  }

  /// What a filter or call block gives, which Jinja wants to be text already.
  private func blockText(_ value: Value) throws(Fault) -> Text {
    guard case .string(let text) = value.kind else {
      throw .type("expected str instance, \(value.typeName) found")
    }
    return text
  }

  private func setBlock(
    _ target: Target, _ filter: Expression?, _ body: [Statement], _ site: Site, _ scope: Scope
  ) throws(Fault) -> Completion {
    let inner = Scope(parent: scope)
    let (text, completion) = try capture { () throws(Fault) in try self.execute(body, inner) }
    if completion != .normal { return completion }
    self.site = site
    var value = Value.string(text)
    if let filter { value = try evaluateFilter(filter, inner, input: value) }
    try assign(target, value, scope)
    return .normal
  }

  private func executeGeneration(
    _ body: [Statement], _ site: Site, _ scope: Scope
  ) throws(Fault) {
    let inner = Scope(parent: scope)
    let (text, _) = try capture { () throws(Fault) in try self.execute(body, inner) }
    self.site = site
    // transformers measures from what has reached the main output, wherever the block stands.
    let start = countMainScalars()
    generations.append(start..<start + text.scalarCount)
    guard generations.count <= 1_000_000 else { throw Fault.limit("generation blocks", 1_000_000) }
    try emit(text)
  }

  private func include(
    _ template: Expression, _ ignoresMissing: Bool, _ scope: Scope
  ) throws(Fault) {
    let value = try evaluate(template, scope)
    switch value.kind {
    case .undefined(let missing):
      if ignoresMissing { return }
      throw missing.fault
    case .list(let object), .tuple(let object):
      if object.items.isEmpty {
        if ignoresMissing { return }
        throw Fault(.lookup, "Tried to select from an empty list of templates.")
      }
      throw .type("no loader for this environment specified")
    default: throw .type("no loader for this environment specified")
    }
  }

  // MARK: Loops

  private func execute(_ loop: ForLoop, _ scope: Scope) throws(Fault) -> Completion {
    site = loop.site
    let iterable = try evaluate(loop.iterable, scope)
    if loop.isRecursive {
      try emit(try runRecursive(loop, iterable, scope, depth0: 0))
      return .normal
    }
    return try run(loop, iterable, scope, depth0: 0)
  }

  /// One level of a recursive loop, as text.
  func runRecursive(
    _ loop: ForLoop, _ iterable: Value, _ scope: Scope, depth0: Int
  ) throws(Fault) -> Text {
    try enterCall()
    let (text, _) = try capture { () throws(Fault) in
      try self.run(loop, iterable, scope, depth0: depth0)
    }
    leaveCall()
    return text
  }

  private func run(
    _ loop: ForLoop, _ iterable: Value, _ scope: Scope, depth0: Int
  ) throws(Fault) -> Completion {
    let source = try iterate(iterable)
    var accepts: ((Value) throws(Fault) -> Value?)?
    if let filter = loop.filter {
      accepts = { [unowned self] (value: Value) throws(Fault) -> Value? in
        let inner = Scope(parent: scope)
        try self.assign(loop.target, value, inner)
        guard try self.isTrue(self.evaluate(filter, inner)) else { return nil }
        // Jinja's filter unpacks and packs again, so that lists come out as tuples.
        guard case .tuple = loop.target, case .list(let object) = value.kind else { return value }
        return try self.tuple(object.items)
      }
    }
    let state = LoopObject(
      source, depth0: depth0, recursion: loop.isRecursive ? (loop, scope) : nil, accepts: accepts)
    let loopValue = Value(.loop(state))
    if loop.isRecursive || accepts != nil { owned.append { state.clear() } }
    var completedOnce = false
    while true {
      site = loop.site
      guard let item = try state.next() else { break }
      try budget.step(4)
      let inner = Scope(parent: scope)
      if let loopNameID { inner.set(loopNameID, loopValue) }
      try assign(loop.target, item, inner)
      let completion = try execute(loop.body, inner)
      if completion == .breakLoop { break }
      if completion == .normal { completedOnce = true }
    }
    if !completedOnce && !loop.otherwise.isEmpty {
      return try execute(loop.otherwise, Scope(parent: scope))
    }
    return .normal
  }

  /// The number of the name `loop`, where the program uses it.
  private(set) lazy var loopNameID = program.names.firstIndex(of: "loop")

  // MARK: Assignment

  /// Assigns to names, tuples of them, or a namespace's attribute.
  func assign(_ target: Target, _ value: Value, _ scope: Scope) throws(Fault) {
    switch target {
    case .name(let id): scope.set(id, value)
    case .namespace(let id, let attribute):
      guard case .namespace(let object)? = lookup(id, scope)?.kind else {
        throw Fault(.runtime, "cannot assign attribute on non-namespace object")
      }
      try setAttribute(attribute, value, on: object)
    case .tuple(let targets):
      let items = try iterate(value)
      guard items.count == targets.count else {
        throw .value(
          items.count < targets.count
            ? "not enough values to unpack (expected \(targets.count), got \(items.count))"
            : "too many values to unpack (expected \(targets.count))")
      }
      for (target, item) in zip(targets, items) { try assign(target, item, scope) }
    }
  }

  /// Sets a namespace's attribute; underscores are refused as transformers does.
  func setAttribute(_ name: String, _ value: Value, on object: NamespaceObject) throws(Fault) {
    if name.utf8.first == 0x5F {
      throw Fault(
        .security,
        "Chat templates cannot store underscore-prefixed attributes on a namespace, but got "
          + "'\(name)'. Please rename the attribute.")
    }
    let key = Array(name.utf8)
    if object[key] == nil { try budget.allocate(key.count + 64) }
    try budget.step(object.attributes.count)
    object[key] = value
  }

  /// A variable's value; nil where it is undefined.
  func lookup(_ id: Int, _ scope: Scope) -> Value? { scope.lookup(id) ?? context[id] }
}
