// The public face of the module: parse a chat template once, render conversations with it. It gives byte
// for byte what transformers' `apply_chat_template(tokenize=False)` gives; it does not tokenize.

public import OrderedJSON

/// A parsed chat template.
///
/// The language is Jinja as transformers 5.23 sets it up (`ImmutableSandboxedEnvironment`, `trim_blocks`,
/// `lstrip_blocks`, loop controls, its own `tojson`, `raise_exception`, `strftime_now`, generation blocks);
/// see Docs/Jinja.md.
public struct ChatTemplate: Sendable {
  /// The name for error messages.
  public let name: String
  /// Bounds on each rendering.
  public var limits = TemplateLimits()
  /// The time `strftime_now` tells; nil is the time of rendering.
  public var clock: TemplateClock?
  private let program: Program

  /// The variable that holds the conversation.
  static let messagesName = "messages"
  /// The variables that rendering sets itself.
  public static let reservedNames = [messagesName, "tools", "documents", "add_generation_prompt"]

  /// Parses a template; throws `TemplateError.syntax` naming the line.
  public init(source: String, name: String = "chat_template") throws(TemplateError) {
    try self.init(source: source, name: name, options: LexerOptions())
  }

  /// Parses with other whitespace options than chat templates have.
  package init(source: String, name: String, options: LexerOptions) throws(TemplateError) {
    self.name = name
    let bytes = Array(source.utf8)
    do {
      program = try Parser.parse(bytes, options: options)
      try NameChecker.check(program)
    } catch {
      let start = min(error.offset, bytes.count)
      let near = bytes[start..<min(start + 40, bytes.count)]
      throw .syntax(
        template: name, line: error.line, near: String(decoding: near, as: UTF8.self),
        message: error.message)
    }
  }

  /// Whether the template marks what the assistant generates with `{% generation %}`.
  public var hasGenerationBlocks: Bool { program.hasGenerationBlocks }

  /// Renders a conversation as `apply_chat_template` does, messages prepared as there.
  ///
  /// - Parameters:
  ///   - messages: objects with "role" and usually "content"; at least one.
  ///   - tools: JSON schemas of functions, nil for none.
  ///   - documents: objects for retrieval templates, nil for none.
  ///   - addGenerationPrompt: whether to end with the header of an assistant turn.
  ///   - variables: the tokenizer's special tokens ("bos_token" …) and template arguments; they must not
  ///     be named as in ``reservedNames``.
  public func render(
    messages: [JSON], tools: [JSON]?, documents: [JSON]? = nil, addGenerationPrompt: Bool,
    variables: JSONObject
  ) throws(TemplateError) -> RenderedChat {
    let prepared = try Self.prepare(messages: messages)
    for (place, document) in (documents ?? []).enumerated() where document.objectValue == nil {
      throw .input(
        subject: "document \(place)", expected: "an object", actual: document.kindDescription)
    }
    for (place, tool) in (tools ?? []).enumerated() where tool.objectValue == nil {
      throw .input(subject: "tool \(place)", expected: "an object", actual: tool.kindDescription)
    }
    var context = JSONObject()
    context[Self.messagesName] = .array(prepared)
    context["tools"] = tools.map { .array($0) } ?? .null
    context["documents"] = documents.map { .array($0) } ?? .null
    context["add_generation_prompt"] = .bool(addGenerationPrompt)
    for (key, value) in variables {
      guard context[key] == nil else {
        throw .input(
          subject: "template variable '\(key)'", expected: "a name other than the chat's own",
          actual: "'\(key)' a second time")
      }
      context[key] = value
    }
    return try render(context: context)
  }

  /// Renders with exactly these variables.
  package func render(context: JSONObject) throws(TemplateError) -> RenderedChat {
    let interpreter = Interpreter(program, limits: limits, clock: clock ?? .now)
    defer { interpreter.tearDown() }
    do {
      var converter = InputConverter(interpreter)
      for (id, name) in program.names.enumerated() {
        if let value = context[name] {
          interpreter.context[id] = try converter.variable(value, name: name)
        }
      }
      interpreter.budget.boundStepsByInput()
      let output = try interpreter.run()
      return RenderedChat(
        output: output, generations: interpreter.generations, origins: interpreter.origins)
    } catch {
      throw located(error, at: interpreter.site)
    }
  }

  private func located(_ fault: Fault, at site: Site) -> TemplateError {
    let source = program.source
    let start = min(site.start, source.count)
    let slice = source[start..<max(start, min(site.end, start + 160, source.count))]
    let expression = Text(Array(slice)).stripped().string
    switch fault.kind {
    case .raised: return .raised(template: name, line: site.line, message: fault.message)
    case .limit:
      return .limit(
        template: name, line: site.line, expression: expression, resource: fault.message,
        maximum: fault.maximum)
    default:
      return .runtime(
        template: name, line: site.line, expression: expression, kind: fault.kind.rawValue,
        message: fault.message)
    }
  }
}

/// Turns JSON into values that know their places.
private struct InputConverter {
  let interpreter: Interpreter

  init(_ interpreter: Interpreter) { self.interpreter = interpreter }

  mutating func variable(_ value: JSON, name: String) throws(Fault) -> Value {
    try convert(value, interpreter.origins.variable(name), depth: 0)
  }

  private func convert(_ value: JSON, _ origin: OriginID, depth: Int) throws(Fault) -> Value {
    let limits = interpreter.budget.limits
    guard depth < limits.nesting else { throw Fault.limit("nested lists", limits.nesting) }
    switch value {
    case .null: return Value(.none, origin: origin)
    case .bool(let flag): return Value(.bool(flag), origin: origin)
    case .integer(let number): return Value(.int(number), origin: origin)
    case .number(let number): return Value(.double(number), origin: origin)
    case .bigInteger(let digits):
      let bytes = Array(digits.utf8)
      guard bytes.count <= 4301, let number = BigInteger(bytes) else {
        throw .value("Exceeds the limit (4300 digits) for integer string conversion")
      }
      return Value(Value.integer(number).kind, origin: origin)
    case .string(let text):
      try interpreter.budget.allocate(text.utf8.count)
      return .string(Text(Array(text.utf8), origin: origin))
    case .array(let items):
      try interpreter.budget.allocateItems(items.count)
      var values: [Value] = []
      values.reserveCapacity(items.count)
      for (i, item) in items.enumerated() {
        let place = interpreter.origins.element(i, of: origin)
        values.append(try convert(item, place, depth: depth + 1))
      }
      return Value(.list(ListObject(values)), origin: origin)
    case .object(let object):
      try interpreter.budget.allocateItems(object.count * 2)
      var entries: [(key: Value, value: Value)] = []
      entries.reserveCapacity(object.count)
      for (key, item) in object {
        let bytes = Array(key.utf8)
        let place = interpreter.origins.key(bytes, of: origin)
        entries.append(
          (.string(Text(bytes, origin: origin)), try convert(item, place, depth: depth + 1)))
      }
      return Value(.dict(DictObject(strings: entries)), origin: origin)
    }
  }
}
