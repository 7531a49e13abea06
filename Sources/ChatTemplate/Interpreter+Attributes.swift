// `a.b` and `a[b]` with the rules of jinja2's sandbox: attributes first for the dot, items first for the
// bracket, and no way to change lists and dicts.

extension Interpreter {
  /// `object.name`.
  func attribute(_ object: Value, _ name: Text) throws(Fault) -> Value {
    if case .undefined(let missing) = object.kind {
      // Dunder names pass by getattr and fail as items; either way the value is missing.
      throw missing.fault
    }
    if let value = try member(object, name) { return value }
    switch object.kind {
    case .dict(let dict):
      if let value = dict[name.bytes] { return value }
    default: break
    }
    return missing(object, name)
  }

  /// `object[index]`.
  func item(_ object: Value, _ index: Value) throws(Fault) -> Value {
    switch object.kind {
    case .undefined(let missing): throw missing.fault
    case .dict(let dict):
      if case .string(let text) = index.kind {
        if let value = dict[text.bytes] { return value }
      } else if let key = DictKey(index) {
        if let value = dict[key] { return value }
      }
    case .list(let list), .tuple(let list):
      if let position = Self.index(index, list.items.count) { return list.items[position] }
    case .range(let range):
      if let position = Self.index(index, range.count) { return .int(range[position]) }
    case .string(let text):
      if Number(index) != nil, let position = Self.index(index, text.scalarCount) {
        try budget.step(text.bytes.count >> 4)
        let start = text.isASCII ? position : text.byteOffset(ofScalar: position)
        return .string(text.slice(start, text.scalar(at: start).next))
      }
    default: break
    }
    if case .string(let name) = index.kind, let value = try member(object, name) { return value }
    if case .string(let name) = index.kind { return missing(object, name) }
    return undefined("\(objectName(object)) has no element \(try representation(index).string)")
  }

  private func missing(_ object: Value, _ name: Text) -> Value {
    undefined("'\(objectName(object))' has no attribute '\(name.string)'")
  }

  /// jinja2's `object_type_repr`.
  private func objectName(_ value: Value) -> String {
    switch value.kind {
    case .none: "None"
    case .namespace: "namespace object"
    default: "\(value.typeName) object"
    }
  }

  /// A position in a sequence, negative ones from the end.
  private static func index(_ value: Value, _ count: Int) -> Int? {
    switch value.kind {
    case .int(let index):
      let position = index < 0 ? index + count : index
      return position >= 0 && position < count ? position : nil
    case .bool(let flag): return (flag ? 1 : 0) < count ? (flag ? 1 : 0) : nil
    default: return nil
    }
  }

  /// A Python attribute of the value, nil where its class has none of that name.
  func member(_ object: Value, _ name: Text) throws(Fault) -> Value? {
    let word = name.string
    if word.utf8.first == 0x5F, Self.hasDunder(word) { return unsafe(object, word) }
    switch object.kind {
    case .string:
      return Self.stringMethods.contains(word) ? bind(word, object) : nil
    case .dict:
      if Self.dictChangers.contains(word) { return unsafe(object, word) }
      return Self.dictMethods.contains(word) ? bind(word, object) : nil
    case .list:
      if Self.listChangers.contains(word) { return unsafe(object, word) }
      return Self.listMethods.contains(word) ? bind(word, object) : nil
    case .tuple(let list):
      if let place = list.fields.firstIndex(of: word) { return list.items[place] }
      return Self.tupleMethods.contains(word) ? bind(word, object) : nil
    case .range(let range):
      switch word {
      case "start": return .int(range.start)
      case "stop": return .int(range.stop)
      case "step": return .int(range.step)
      default: return Self.tupleMethods.contains(word) ? bind(word, object) : nil
      }
    case .int, .bool, .big, .double: return numberMember(object, word)
    case .namespace(let namespace): return namespace[name.bytes]
    case .loop(let loop): return try loopMember(loop, object, word)
    case .macro(let macro): return try macroMember(macro.definition, word)
    case .cycler(let cycler):
      if cycler.isJoiner { return word == "used" ? .bool(cycler.position > 0) : nil }
      switch word {
      case "current": return cycler.items.items[cycler.position]
      case "items": return try tuple(cycler.items.items)
      case "pos": return .int(cycler.position)
      case "next", "reset": return bind(word, object)
      default: return nil
      }
    case .view(let view, _):
      if view != .values, word == "isdisjoint" { return bind(word, object) }
      return nil
    default: return nil
    }
  }

  private func bind(_ name: String, _ receiver: Value) -> Value {
    Value(.function(FunctionObject(name, receiver: receiver)))
  }

  private func unsafe(_ object: Value, _ name: String) -> Value {
    undefined(
      "access to attribute '\(name)' of '\(object.typeName)' object is unsafe.", kind: .security)
  }

  /// Names every Python object has.
  private static func hasDunder(_ name: String) -> Bool {
    [
      "__class__", "__doc__", "__dir__", "__init__", "__new__", "__eq__", "__ne__", "__lt__",
      "__le__", "__gt__", "__ge__", "__hash__", "__repr__", "__str__", "__format__", "__sizeof__",
      "__reduce__", "__reduce_ex__", "__getattribute__", "__setattr__", "__delattr__",
      "__init_subclass__", "__subclasshook__",
    ].contains(name)
  }

  private func numberMember(_ value: Value, _ name: String) -> Value? {
    switch (name, value.kind) {
    case ("real", .double), ("real", .int), ("real", .big): return value
    case ("real", .bool(let flag)), ("numerator", .bool(let flag)): return .int(flag ? 1 : 0)
    case ("imag", .double): return .double(0)
    case ("imag", _): return .int(0)
    case ("numerator", .int), ("numerator", .big): return value
    case ("denominator", .int), ("denominator", .big), ("denominator", .bool): return .int(1)
    case ("is_integer", .double), ("hex", .double): return bind(name, value)
    case ("conjugate", _), ("as_integer_ratio", _): return bind(name, value)
    case ("bit_length", .int), ("bit_length", .big), ("bit_length", .bool), ("bit_count", .int),
      ("bit_count", .big), ("bit_count", .bool):
      return bind(name, value)
    default: return nil
    }
  }

  private func loopMember(_ loop: LoopObject, _ value: Value, _ name: String) throws(Fault)
    -> Value?
  {
    switch name {
    case "index": return .int(loop.index0 + 1)
    case "index0": return .int(loop.index0)
    case "first": return .bool(loop.index0 == 0)
    case "last": return .bool(try loop.peek() == nil)
    case "length": return .int(try loop.length())
    case "revindex": return .int(try loop.length() - loop.index0)
    case "revindex0": return .int(try loop.length() - loop.index0 - 1)
    case "depth": return .int(loop.depth0 + 1)
    case "depth0": return .int(loop.depth0)
    case "previtem":
      if loop.index0 == 0 { return undefined("there is no previous item") }
      return loop.previous ?? undefined("there is no previous item")
    case "nextitem": return try loop.peek() ?? undefined("there is no next item")
    case "cycle", "changed": return bind(name, value)
    default: return nil
    }
  }

  private func macroMember(_ definition: MacroDefinition, _ name: String) throws(Fault) -> Value? {
    switch name {
    case "name": return definition.name.map { .string($0) } ?? .null
    case "arguments":
      return try tuple(definition.parameters.map { .string($0.name) })
    case "caller": return .bool(definition.usesCaller)
    case "catch_kwargs": return .bool(definition.usesKwargs)
    case "catch_varargs": return .bool(definition.usesVarargs)
    case "explicit_caller": return .bool(definition.parameters.contains { $0.name == "caller" })
    default: return nil
    }
  }

  static let dictChangers: Set<String> = ["clear", "pop", "popitem", "setdefault", "update"]
  static let dictMethods: Set<String> = ["copy", "fromkeys", "get", "items", "keys", "values"]
  static let listChangers: Set<String> = [
    "append", "clear", "pop", "reverse", "insert", "sort", "extend", "remove",
  ]
  static let listMethods: Set<String> = ["copy", "count", "index"]
  static let tupleMethods: Set<String> = ["count", "index"]
}
