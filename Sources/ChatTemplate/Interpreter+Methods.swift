// Methods of dicts, lists, loops and the other objects; those of strings are in their own file.

extension Interpreter {
  /// Calls a method of a value.
  func method(_ name: String, of receiver: Value, _ arguments: Arguments) throws(Fault) -> Value {
    switch receiver.kind {
    case .string(let text):
      let result = try stringMethod(name, text, arguments)
      return text.isMarkup ? Self.marking(result) : result
    case .dict(let object): return try dictMethod(name, object, receiver, arguments)
    case .list(let object), .tuple(let object):
      return try sequenceMethod(name, object.items, receiver, arguments)
    case .range: return try sequenceMethod(name, iterate(receiver), receiver, arguments)
    case .loop(let loop): return try loopMethod(name, loop, arguments)
    case .cycler(let cycler):
      _ = try arguments.positional(name, 0, 0)
      if name == "reset" {
        cycler.position = 0
        return .null
      }
      let value = cycler.items.items[cycler.position]
      cycler.position = (cycler.position + 1) % cycler.items.items.count
      return value
    case .view(let view, let object):
      let others = try iterate(arguments.positional(name, 1, 1)[0])
      let mine = Value(.list(ListObject(try items(of: object, view))))
      for other in others where try contains(other, in: mine) { return .false }
      return .true
    default: return try numberMethod(name, receiver, arguments)
    }
  }

  /// Results of Markup's methods are Markup.
  private static func marking(_ value: Value) -> Value {
    switch value.kind {
    case .string(let text): .string(text.marked(true))
    case .list(let object): Value(.list(ListObject(object.items.map { marking($0) })))
    case .tuple(let object): Value(.tuple(ListObject(object.items.map { marking($0) })))
    default: value
    }
  }

  private func dictMethod(
    _ name: String, _ object: DictObject, _ receiver: Value, _ arguments: Arguments
  ) throws(Fault) -> Value {
    switch name {
    case "get":
      let given = try arguments.positional(name, 1, 2)
      if let text = given[0].text, let value = object[text.bytes] { return value }
      if given[0].text == nil, let value = object[try key(given[0])] { return value }
      return given.count > 1 ? given[1] : .null
    case "fromkeys":
      let given = try arguments.positional(name, 1, 2)
      return try fromKeys(given[0], given.count > 1 ? given[1] : .null)
    default:
      _ = try arguments.positional(name, 0, 0)
      switch name {
      case "keys": return Value(.view(.keys, object), origin: receiver.origin)
      case "values": return Value(.view(.values, object), origin: receiver.origin)
      case "items": return Value(.view(.items, object), origin: receiver.origin)
      default: return try dict(object.entries)
      }
    }
  }

  /// `dict.fromkeys`.
  func fromKeys(_ keys: Value, _ value: Value) throws(Fault) -> Value {
    var pairs: [(key: Value, value: Value)] = []
    for key in try iterate(keys) { pairs.append((key, value)) }
    return try dict(pairs)
  }

  private func sequenceMethod(
    _ name: String, _ items: [Value], _ receiver: Value, _ arguments: Arguments
  ) throws(Fault) -> Value {
    switch name {
    case "copy":
      _ = try arguments.positional(name, 0, 0)
      return try list(items)
    case "count":
      let wanted = try arguments.positional(name, 1, 1)[0]
      var count = 0
      for item in items where try isEqual(item, wanted) { count += 1 }
      return .int(count)
    default:
      let given = try arguments.positional(name, 1, 3)
      var bounds = [0, items.count]
      for (i, value) in given.dropFirst().enumerated() {
        let index = try integer(value, "index")
        bounds[i] = min(index < 0 ? max(0, index + items.count) : index, items.count)
      }
      if bounds[0] < bounds[1] {
        for i in bounds[0]..<bounds[1] where try isEqual(items[i], given[0]) { return .int(i) }
      }
      let shown = try representation(given[0]).string
      throw .value("\(shown) is not in \(receiver.typeName)")
    }
  }

  private func loopMethod(
    _ name: String, _ loop: LoopObject, _ arguments: Arguments
  ) throws(Fault) -> Value {
    guard arguments.keywords.isEmpty else { throw .type("\(name)() takes no keyword arguments") }
    let given = arguments.positional
    if name == "cycle" {
      guard !given.isEmpty else { throw .type("no items for cycling given") }
      return given[loop.index0 % given.count]
    }
    if let last = loop.lastChanged {
      let (before, now) = (Value(.tuple(ListObject(last))), Value(.tuple(ListObject(given))))
      if try isEqual(before, now) { return .false }
    }
    if loop.lastChanged == nil { owned.append { loop.clear() } }
    loop.lastChanged = given
    return .true
  }

  private func numberMethod(
    _ name: String, _ receiver: Value, _ arguments: Arguments
  ) throws(Fault) -> Value {
    _ = try arguments.positional(name, 0, 0)
    guard let number = Number(receiver) else {
      throw .type("'\(receiver.typeName)' object is not callable")
    }
    switch name {
    case "conjugate": return number.value
    case "is_integer":
      return .bool(number.double.isFinite && number.double == number.double.rounded())
    case "bit_length": return .int(number.big?.bitCount ?? 0)
    case "bit_count":
      return .int(number.big?.magnitude.reduce(0) { $0 + $1.nonzeroBitCount } ?? 0)
    case "as_integer_ratio":
      if let whole = number.big { return try tuple([.integer(whole), .int(1)]) }
      throw Fault(.notSupported, "float.as_integer_ratio is not supported in chat templates")
    default: throw Fault(.notSupported, "\(receiver.typeName).\(name) is not supported")
    }
  }
}
