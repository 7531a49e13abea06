// Python's protocols over values: truth, equality, order, iteration, containment, str and repr.

extension Interpreter {
  // MARK: Truth and equality

  /// `bool(value)`.
  func isTrue(_ value: Value) throws(Fault) -> Bool {
    switch value.kind {
    case .undefined, .none: false
    case .bool(let flag): flag
    case .int(let number): number != 0
    case .big: true
    case .double(let number): number != 0
    case .string(let text): !text.isEmpty
    case .list(let object), .tuple(let object): !object.items.isEmpty
    case .dict(let object), .view(_, let object): object.count > 0
    case .range(let range): range.count > 0
    case .loop(let loop): try loop.length() > 0
    case .iterator, .namespace, .macro, .function, .cycler: true
    }
  }

  /// `a == b`.
  func isEqual(_ a: Value, _ b: Value) throws(Fault) -> Bool {
    try budget.step()
    switch (a.kind, b.kind) {
    case (.string(let x), .string(let y)):
      try budget.step(min(x.bytes.count, y.bytes.count) >> 4)
      return x.bytes == y.bytes
    case (.none, .none), (.undefined, .undefined): return true
    case (.list(let x), .list(let y)), (.tuple(let x), .tuple(let y)):
      if x === y { return true }
      guard x.items.count == y.items.count else { return false }
      return try deeper { () throws(Fault) in
        for (left, right) in zip(x.items, y.items) {
          if try !self.isEqual(left, right) { return false }
        }
        return true
      }
    case (.dict(let x), .dict(let y)):
      if x === y { return true }
      guard x.count == y.count else { return false }
      return try deeper { () throws(Fault) in
        for entry in x.entries {
          guard let key = DictKey(entry.key), let other = y[key],
            try self.isEqual(entry.value, other)
          else { return false }
        }
        return true
      }
    case (.range(let x), .range(let y)):
      return x.count == y.count && (x.count == 0 || x.start == y.start)
        && (x.count <= 1 || x.step == y.step)
    case (.view(let x, let left), .view(let y, let right)) where x == y && x != .values:
      let (first, second) = (try items(of: left, x), try items(of: right, y))
      guard first.count == second.count else { return false }
      for item in first where try !contains(item, in: .init(.list(ListObject(second)))) {
        return false
      }
      return true
    default:
      if let x = Number(a), let y = Number(b) { return Number.compare(x, y) == 0 }
      guard let x = DictKey(identityOf: a), let y = DictKey(identityOf: b) else { return false }
      return x == y
    }
  }

  /// `a is b`, as far as values have an identity here.
  func isSame(_ a: Value, _ b: Value) -> Bool {
    switch (a.kind, b.kind) {
    case (.none, .none): return true
    case (.bool(let x), .bool(let y)): return x == y
    case (.int(let x), .int(let y)): return x == y && (-5...256).contains(x)
    case (.string(let x), .string(let y)): return x.bytes == y.bytes
    case (.list(let x), .list(let y)): return x === y
    case (.tuple(let x), .tuple(let y)): return x === y || x.items.isEmpty && y.items.isEmpty
    case (.dict(let x), .dict(let y)): return x === y
    default:
      guard let x = DictKey(identityOf: a), let y = DictKey(identityOf: b) else { return false }
      return x == y
    }
  }

  // MARK: Order

  /// −1, 0, 1, or nil for unordered (NaN). `symbol` is for the message only.
  func order(_ a: Value, _ b: Value, _ symbol: String) throws(Fault) -> Int? {
    try budget.step()
    if let x = Number(a), let y = Number(b) { return Number.compare(x, y) }
    switch (a.kind, b.kind) {
    case (.undefined(let missing), _), (_, .undefined(let missing)): throw missing.fault
    case (.string(let x), .string(let y)):
      try budget.step(min(x.bytes.count, y.bytes.count) >> 4)
      return Text.compare(x.bytes, y.bytes)
    case (.list(let x), .list(let y)), (.tuple(let x), .tuple(let y)):
      return try deeper { () throws(Fault) in
        for (left, right) in zip(x.items, y.items) {
          if try !self.isEqual(left, right) { return try self.order(left, right, symbol) }
        }
        return x.items.count == y.items.count ? 0 : x.items.count < y.items.count ? -1 : 1
      }
    default:
      throw .type(
        "'\(symbol)' not supported between instances of '\(a.typeName)' and '\(b.typeName)'")
    }
  }

  /// One comparison operator.
  func compare(_ a: Value, _ comparison: Comparison, _ b: Value) throws(Fault) -> Bool {
    switch comparison {
    case .equal: try isEqual(a, b)
    case .notEqual: try !isEqual(a, b)
    case .contained: try contains(a, in: b)
    case .notContained: try !contains(a, in: b)
    case .less: try order(a, b, comparison.rawValue).map { $0 < 0 } ?? false
    case .lessOrEqual: try order(a, b, comparison.rawValue).map { $0 <= 0 } ?? false
    case .greater: try order(a, b, comparison.rawValue).map { $0 > 0 } ?? false
    case .greaterOrEqual: try order(a, b, comparison.rawValue).map { $0 >= 0 } ?? false
    }
  }

  // MARK: Iteration

  /// The items of an iterable.
  func iterate(_ value: Value) throws(Fault) -> [Value] {
    switch value.kind {
    case .undefined: return []
    case .list(let object), .tuple(let object):
      try budget.step(object.items.count)
      return object.items
    case .string(let text):
      try budget.allocateItems(text.bytes.count)
      var result: [Value] = []
      let offsets = text.scalarOffsets
      for i in 0..<(offsets.count - 1) {
        result.append(.string(text.slice(offsets[i], offsets[i + 1])))
      }
      return result
    case .dict(let object): return try items(of: object, .keys)
    case .view(let view, let object): return try items(of: object, view)
    case .range(let range):
      try budget.allocateItems(range.count)
      return (0..<range.count).map { .int(range[$0]) }
    case .iterator(let iterator): return try iterator.drain()
    case .loop(let loop):
      var result: [Value] = []
      while let item = try loop.next() {
        result.append(Value(.tuple(ListObject([item, value]))))
      }
      return result
    default: throw .type("'\(value.typeName)' object is not iterable")
    }
  }

  /// What a view of a dict shows.
  func items(of object: DictObject, _ view: DictView) throws(Fault) -> [Value] {
    try budget.allocateItems(object.count)
    switch view {
    case .keys: return object.entries.map(\.key)
    case .values: return object.entries.map(\.value)
    case .items: return object.entries.map { Value(.tuple(ListObject([$0.key, $0.value]))) }
    }
  }

  /// `len(value)`.
  func length(_ value: Value) throws(Fault) -> Int {
    switch value.kind {
    case .undefined: return 0
    case .string(let text):
      try budget.step(text.bytes.count >> 4)
      return text.scalarCount
    case .list(let object), .tuple(let object): return object.items.count
    case .dict(let object), .view(_, let object): return object.count
    case .range(let range): return range.count
    case .loop(let loop): return try loop.length()
    default: throw .type("object of type '\(value.typeName)' has no len()")
    }
  }

  /// `item in container`.
  func contains(_ item: Value, in container: Value) throws(Fault) -> Bool {
    switch container.kind {
    case .string(let text):
      guard case .string(let needle) = item.kind else {
        throw .type("'in <string>' requires string as left operand, not \(item.typeName)")
      }
      try budget.step(text.bytes.count >> 3)
      return text.find(needle.bytes) != nil
    case .dict(let object), .view(.keys, let object):
      return object[try key(item)] != nil
    case .range(let range):
      guard let number = Number(item) else { return false }
      guard let index = number.exactInt, range.count > 0 else { return false }
      let (low, high) = (
        min(range[0], range[range.count - 1]), max(range[0], range[range.count - 1])
      )
      return index >= low && index <= high && (index - range.start) % range.step == 0
    default:
      let isIterable: Bool
      switch container.kind {
      case .undefined, .list, .tuple, .view, .iterator, .loop: isIterable = true
      default: isIterable = false
      }
      guard isIterable else {
        throw .type("argument of type '\(container.typeName)' is not iterable")
      }
      for candidate in try iterate(container) where try isEqual(candidate, item) { return true }
      return false
    }
  }

  /// A value as a dict's key.
  func key(_ value: Value) throws(Fault) -> DictKey {
    try budget.step(min(value.weight, 10_000))
    guard let key = DictKey(value) else { throw .type("unhashable type: '\(value.typeName)'") }
    return key
  }

  // MARK: Text

  /// `str(value)`, attributed to the value's origin.
  func text(_ value: Value) throws(Fault) -> Text {
    if case .string(let text) = value.kind { return text }
    var builder = TextBuilder()
    try write(value, to: &builder, quoting: false)
    try budget.allocate(builder.count)
    return value.origin.isTemplate ? builder.text : builder.text.attributed(to: value.origin)
  }

  /// `repr(value)`.
  func representation(_ value: Value) throws(Fault) -> Text {
    var builder = TextBuilder()
    try write(value, to: &builder, quoting: true)
    try budget.allocate(builder.count)
    return value.origin.isTemplate ? builder.text : builder.text.attributed(to: value.origin)
  }

  /// Appends `str(value)` or, quoting, `repr(value)`.
  func write(_ value: Value, to builder: inout TextBuilder, quoting: Bool) throws(Fault) {
    let origin = value.origin
    try budget.step()
    switch value.kind {
    case .undefined: if quoting { builder.append("Undefined") }
    case .none: builder.append("None", origin: origin)
    case .bool(let flag): builder.append(flag ? "True" : "False", origin: origin)
    case .int(let number): builder.append(String(number), origin: origin)
    case .big(let number): builder.append(try digits(of: number), origin: origin)
    case .double(let number): builder.append(FloatText.repr(number), origin: origin)
    case .string(let text):
      try budget.step(text.bytes.count >> 2)
      if !quoting {
        builder.append(text)
      } else if text.isMarkup {
        builder.append("Markup(")
        text.representation(into: &builder)
        builder.append(")")
      } else {
        text.representation(into: &builder)
      }
    case .list(let object):
      try write(object.items, "[", "]", origin, to: &builder)
    case .tuple(let object):
      try write(object.items, "(", object.items.count == 1 ? ",)" : ")", origin, to: &builder)
    case .dict(let object): try write(object, origin, to: &builder)
    case .view(let view, let object):
      try write(try items(of: object, view), view.typeName + "([", "])", origin, to: &builder)
    case .range(let range):
      let step = range.step == 1 ? "" : ", \(range.step)"
      builder.append("range(\(range.start), \(range.stop)\(step))")
    case .iterator(let iterator): builder.append("<\(iterator.typeName) object>")
    case .namespace(let namespace):
      builder.append("<Namespace {")
      for (i, attribute) in namespace.attributes.enumerated() {
        builder.append(i == 0 ? "" : ", ")
        Text(attribute.name).representation(into: &builder)
        builder.append(": ")
        try deeperWrite(attribute.value, to: &builder)
      }
      builder.append("}>")
    case .loop(let loop):
      builder.append("<LoopContext \(loop.index0 + 1)/\(try loop.length())>")
    case .macro(let macro):
      builder.append(macro.definition.name.map { "<Macro '\($0)'>" } ?? "<Macro anonymous>")
    case .function(let function): builder.append("<\(function.typeName) \(function.name)>")
    case .cycler(let cycler):
      builder.append(cycler.isJoiner ? "<Joiner object>" : "<Cycler object>")
    }
    guard builder.count <= budget.limits.outputBytes else {
      throw Fault.limit("bytes of text", budget.limits.outputBytes)
    }
  }

  private func deeperWrite(_ value: Value, to builder: inout TextBuilder) throws(Fault) {
    try enter()
    try write(value, to: &builder, quoting: true)
    leave()
  }

  private func write(
    _ items: [Value], _ open: String, _ close: String, _ origin: OriginID,
    to builder: inout TextBuilder
  ) throws(Fault) {
    builder.append(open, origin: origin)
    for (i, item) in items.enumerated() {
      if i > 0 { builder.append(", ", origin: origin) }
      try deeperWrite(item, to: &builder)
    }
    builder.append(close, origin: origin)
  }

  private func write(
    _ object: DictObject, _ origin: OriginID, to builder: inout TextBuilder
  ) throws(Fault) {
    builder.append("{", origin: origin)
    for (i, entry) in object.entries.enumerated() {
      if i > 0 { builder.append(", ", origin: origin) }
      try deeperWrite(entry.key, to: &builder)
      builder.append(": ", origin: origin)
      try deeperWrite(entry.value, to: &builder)
    }
    builder.append("}", origin: origin)
  }

  /// Digits of a big integer, within Python's limit for them.
  func digits(of number: BigInteger) throws(Fault) -> [UInt8] {
    try budget.step(number.magnitude.count * number.magnitude.count / 4 + 1)
    let digits = number.decimal
    guard digits.count <= 4301 else {
      throw .value("Exceeds the limit (4300 digits) for integer string conversion")
    }
    return digits
  }

  // MARK: Depth

  /// Counts one level of native recursion; too many is an error.
  func enter() throws(Fault) {
    depth += 1
    if depth > budget.limits.evaluationDepth {
      throw Fault.limit("nested evaluations", budget.limits.evaluationDepth)
    }
  }

  /// Ends what `enter` began.
  func leave() { depth -= 1 }

  /// Runs `body` one level deeper.
  func deeper<T>(_ body: () throws(Fault) -> T) throws(Fault) -> T {
    try enter()
    let result = try body()
    leave()
    return result
  }
}

extension DictKey {
  /// The identity of an object without value semantics.
  fileprivate init?(identityOf value: Value) {
    switch value.kind {
    case .iterator, .namespace, .loop, .macro, .cycler: self.init(value)
    default: return nil
    }
  }
}
