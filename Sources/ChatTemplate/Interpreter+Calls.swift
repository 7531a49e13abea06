// Calls: arguments, macros with their defaults and special names, loops called recursively, and objects
// that can be called.

/// Evaluated arguments.
struct Arguments {
  var positional: [Value] = []
  var keywords: [(name: String, value: Value)] = []

  /// The arguments by parameter: positional ones first, then keywords; nil where not given.
  ///
  /// Throws Python's TypeError for too many, unknown, repeated or, for the first `required`, missing ones.
  func bound(
    _ function: String, _ names: [String], required: Int = 0
  ) throws(Fault) -> [Value?] {
    guard positional.count <= names.count else {
      throw .type(
        "\(function)() takes \(names.count) positional arguments but \(positional.count) were given"
      )
    }
    var values: [Value?] = positional
    while values.count < names.count { values.append(nil) }
    for keyword in keywords {
      guard let place = names.firstIndex(of: keyword.name) else {
        throw .type("\(function)() got an unexpected keyword argument '\(keyword.name)'")
      }
      guard values[place] == nil else {
        throw .type("\(function)() got multiple values for argument '\(keyword.name)'")
      }
      values[place] = keyword.value
    }
    for i in 0..<required where values[i] == nil {
      throw .type("\(function)() missing 1 required positional argument: '\(names[i])'")
    }
    return values
  }

  /// Positional arguments only, between `minimum` and `maximum` of them.
  func positional(_ function: String, _ minimum: Int, _ maximum: Int) throws(Fault) -> [Value] {
    guard keywords.isEmpty else { throw .type("\(function)() takes no keyword arguments") }
    guard positional.count >= minimum, positional.count <= maximum else {
      throw .type(
        "\(function)() takes from \(minimum) to \(maximum) arguments (\(positional.count) given)")
    }
    return positional
  }
}

extension Interpreter {
  /// Evaluates arguments in order.
  func evaluateArguments(_ written: CallArguments, _ scope: Scope) throws(Fault) -> Arguments {
    var arguments = Arguments()
    if written.isEmpty { return arguments }
    try enter()
    for expression in written.positional {
      arguments.positional.append(try evaluate(expression, scope))
    }
    for keyword in written.keywords {
      arguments.keywords.append((keyword.name, try evaluate(keyword.value, scope)))
    }
    if let variadic = written.variadic {
      arguments.positional += try iterate(evaluate(variadic, scope))
    }
    if let variadic = written.variadicKeywords {
      let value = try evaluate(variadic, scope)
      guard case .dict(let object) = value.kind else {
        throw .type("argument after ** must be a mapping, not \(value.typeName)")
      }
      for entry in object.entries {
        guard case .string(let name) = entry.key.kind else {
          throw .type("keywords must be strings")
        }
        guard !arguments.keywords.contains(where: { $0.name == name.string }) else {
          throw .type("got multiple values for keyword argument '\(name.string)'")
        }
        arguments.keywords.append((name.string, entry.value))
      }
    }
    try budget.step(arguments.positional.count + arguments.keywords.count)
    leave()
    return arguments
  }

  /// Evaluates a call expression; `caller` is a call block's body.
  func evaluateCall(
    _ expression: Expression, _ scope: Scope, caller: Value?
  ) throws(Fault) -> Value {
    guard case .call(let callee, let written) = expression.kind else {
      throw Fault(.runtime, "expected a call")
    }
    try enter()
    let function = try evaluate(callee, scope)
    var arguments = try evaluateArguments(written, scope)
    if let caller { arguments.keywords.append(("caller", caller)) }
    let result = try call(function, arguments)
    leave()
    return result
  }

  /// Calls a value.
  func call(_ function: Value, _ arguments: Arguments) throws(Fault) -> Value {
    switch function.kind {
    case .undefined(let missing): throw missing.fault
    case .macro(let macro): return try call(macro, arguments)
    case .function(let object):
      if let receiver = object.receiver { return try method(object.name, of: receiver, arguments) }
      return try global(object.name, arguments)
    case .loop(let loop):
      guard let recursion = loop.recursion else {
        throw .type("The loop must have the 'recursive' marker to be called recursively.")
      }
      let iterable = try arguments.bound("loop", ["iterable"], required: 1)[0] ?? .null
      let saved = site
      let text = try runRecursive(
        recursion.loop, iterable, recursion.scope, depth0: loop.depth0 + 1)
      site = saved
      return .string(text)
    case .cycler(let cycler) where cycler.isJoiner:
      _ = try arguments.positional("joiner", 0, 0)
      defer { cycler.position = 1 }
      return cycler.position == 0 ? .string("") : cycler.items.items[0]
    default: throw .type("'\(function.typeName)' object is not callable")
    }
  }

  /// A macro value that remembers its scope.
  func makeMacro(_ definition: MacroDefinition, _ scope: Scope) -> Value {
    owned.append { scope.clear() }
    return Value(.macro(MacroObject(definition, scope)))
  }

  /// Counts a macro call; too many inside each other is an error.
  func enterCall() throws(Fault) {
    callDepth += 1
    if callDepth > budget.limits.callDepth {
      throw Fault.limit("nested macro calls", budget.limits.callDepth)
    }
  }

  /// Ends what `enterCall` began.
  func leaveCall() { callDepth -= 1 }

  private func call(_ macro: MacroObject, _ arguments: Arguments) throws(Fault) -> Value {
    let definition = macro.definition
    let parameters = definition.parameters
    let name = definition.name.map { "'\($0)'" } ?? "None"
    var keywords = arguments.keywords
    func take(_ key: String) -> Value? {
      guard let place = keywords.firstIndex(where: { $0.name == key }) else { return nil }
      return keywords.remove(at: place).value
    }

    var values: [Value?] = Array(arguments.positional.prefix(parameters.count))
    var foundCaller =
      values.count == parameters.count && parameters.contains { $0.name == "caller" }
    for parameter in parameters[values.count...] {
      if parameter.name == "caller" { foundCaller = true }
      values.append(take(parameter.name))
    }
    let scope = Scope(parent: macro.scope)
    if definition.usesCaller && !foundCaller {
      let caller = take("caller") ?? undefined("No caller defined")
      try bindSpecial("caller", caller, scope)
    }
    if definition.usesKwargs {
      var pairs: [(key: Value, value: Value)] = []
      for keyword in keywords { pairs.append((.string(keyword.name), keyword.value)) }
      try bindSpecial("kwargs", try dict(pairs), scope)
    } else if let first = keywords.first {
      if keywords.contains(where: { $0.name == "caller" }) {
        throw .type(
          "macro \(name) was invoked with two values for the special caller argument. "
            + "This is most likely a bug.")
      }
      throw .type("macro \(name) takes no keyword argument '\(first.name)'")
    }
    if definition.usesVarargs {
      let rest = Array(arguments.positional.dropFirst(parameters.count))
      try bindSpecial("varargs", try tuple(rest), scope)
    } else if arguments.positional.count > parameters.count {
      throw .type("macro \(name) takes not more than \(parameters.count) argument(s)")
    }
    return try invoke(definition, values, scope)
  }

  private func bindSpecial(_ name: String, _ value: Value, _ scope: Scope) throws(Fault) {
    if let id = program.names.firstIndex(of: name) { scope.set(id, value) }
  }

  private func invoke(
    _ definition: MacroDefinition, _ values: [Value?], _ scope: Scope
  ) throws(Fault) -> Value {
    try enterCall()
    let saved = site
    site = definition.site
    let parameters = definition.parameters
    for (i, parameter) in parameters.enumerated() {
      if let value = values[i] {
        scope.set(parameter.id, value)
        continue
      }
      let defaultIndex = i - (parameters.count - definition.defaults.count)
      let value =
        defaultIndex >= 0
        ? try evaluate(definition.defaults[defaultIndex], scope)
        : undefined("parameter '\(parameter.name)' was not provided")
      scope.set(parameter.id, value)
    }
    let (text, _) = try capture { () throws(Fault) in try self.execute(definition.body, scope) }
    site = saved
    leaveCall()
    return .string(text)
  }
}
