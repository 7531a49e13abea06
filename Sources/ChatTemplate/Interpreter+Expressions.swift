// Evaluates expressions.

extension Interpreter {
  /// The value of an expression.
  func evaluate(_ expression: Expression, _ scope: Scope) throws(Fault) -> Value {
    try budget.step()
    switch expression.kind {
    case .literal(let literal): return Self.value(literal)
    case .name(let id):
      return lookup(id, scope) ?? undefined("'\(program.names[id])' is undefined")
    case .attribute(let object, let name):
      return try attribute(nested(object, scope), name)
    case .item(let object, let index):
      let container = try nested(object, scope)
      return try item(container, nested(index, scope))
    case .and(let left, let right):
      let value = try nested(left, scope)
      return try isTrue(value) ? nested(right, scope) : value
    case .or(let left, let right):
      let value = try nested(left, scope)
      return try isTrue(value) ? value : nested(right, scope)
    case .not(let operand): return .bool(try !isTrue(nested(operand, scope)))
    case .compare(let first, let rest): return try evaluateComparison(first, rest, scope)
    case .binary(let operation, let left, let right):
      let a = try nested(left, scope)
      return try binary(operation, a, nested(right, scope))
    case .unary(let operation, let operand):
      return try unary(operation, nested(operand, scope))
    case .concat(let parts): return try evaluateConcat(parts, scope)
    case .conditional(let test, let then, let otherwise):
      if try isTrue(nested(test, scope)) { return try nested(then, scope) }
      if let otherwise { return try nested(otherwise, scope) }
      return undefined(
        "the inline if-expression on line \(expression.line) evaluated to false and no else "
          + "section was defined.")
    case .call: return try evaluateCall(expression, scope, caller: nil)
    case .filter(let input, let name, let arguments):
      guard let input else { throw Fault(.runtime, "a filter without input") }
      let value = try nested(input, scope)
      return try filter(name, value, evaluateArguments(arguments, scope))
    case .test(let subject, let name, let arguments):
      let value = try nested(subject, scope)
      return .bool(try test(name, value, evaluateArguments(arguments, scope)))
    case .slice(let object, let start, let stop, let step):
      return try evaluateSlice(object, start, stop, step, scope)
    case .list(let items): return try list(evaluateAll(items, scope))
    case .tuple(let items): return try tuple(evaluateAll(items, scope))
    case .dict(let pairs): return try evaluateDict(pairs, scope)
    }
  }

  /// Evaluates a part of an expression.
  private func nested(_ expression: Expression, _ scope: Scope) throws(Fault) -> Value {
    try enter()
    let value = try evaluate(expression, scope)
    leave()
    return value
  }

  /// Evaluates the filters of a filter block on its text.
  func evaluateFilter(
    _ expression: Expression, _ scope: Scope, input: Value
  ) throws(Fault) -> Value {
    guard case .filter(let inner, let name, let arguments) = expression.kind else {
      throw Fault(.runtime, "expected a filter")
    }
    try enter()
    let value =
      try inner.map { (inner) throws(Fault) in
        try evaluateFilter(inner, scope, input: input)
      } ?? input
    leave()
    return try filter(name, value, evaluateArguments(arguments, scope))
  }

  private static func value(_ literal: Literal) -> Value {
    switch literal {
    case .none: .null
    case .bool(let flag): .bool(flag)
    case .int(let number): .int(number)
    case .big(let number): Value(.big(number))
    case .double(let number): .double(number)
    case .string(let text): .string(text)
    }
  }

  /// A missing value.
  func undefined(_ message: String, kind: Fault.Kind = .undefined) -> Value {
    Value(.undefined(Undefined(message, kind: kind)))
  }

  private func evaluateAll(_ items: [Expression], _ scope: Scope) throws(Fault) -> [Value] {
    var values: [Value] = []
    values.reserveCapacity(items.count)
    for item in items { values.append(try nested(item, scope)) }
    return values
  }

  /// A new list, within the limits.
  func list(_ items: [Value]) throws(Fault) -> Value {
    try Value(.list(checked(ListObject(items), items.count)))
  }

  /// A new tuple, within the limits.
  func tuple(_ items: [Value]) throws(Fault) -> Value {
    try Value(.tuple(checked(ListObject(items), items.count)))
  }

  private func checked(_ object: ListObject, _ count: Int) throws(Fault) -> ListObject {
    try budget.allocateItems(count)
    try checkDepth(object.depth)
    return object
  }

  /// Refuses containers nested too deep to be printed or freed.
  func checkDepth(_ depth: Int) throws(Fault) {
    if depth > budget.limits.nesting { throw Fault.limit("nested lists", budget.limits.nesting) }
  }

  /// A dict of the pairs, later ones replacing earlier ones.
  func dict(_ pairs: [(key: Value, value: Value)]) throws(Fault) -> Value {
    try budget.allocateItems(pairs.count * 2)
    let object = DictObject()
    for pair in pairs { object.set(pair.key, try key(pair.key), pair.value) }
    try checkDepth(object.depth)
    return Value(.dict(object))
  }

  private func evaluateDict(
    _ pairs: [(key: Expression, value: Expression)], _ scope: Scope
  ) throws(Fault) -> Value {
    var values: [(key: Value, value: Value)] = []
    for pair in pairs {
      let key = try nested(pair.key, scope)
      values.append((key, try nested(pair.value, scope)))
    }
    return try dict(values)
  }

  private func evaluateComparison(
    _ first: Expression, _ rest: [(comparison: Comparison, right: Expression)], _ scope: Scope
  ) throws(Fault) -> Value {
    var left = try nested(first, scope)
    for operand in rest {
      let right = try nested(operand.right, scope)
      if try !compare(left, operand.comparison, right) { return .false }
      left = right
    }
    return .true
  }

  private func evaluateConcat(_ parts: [Expression], _ scope: Scope) throws(Fault) -> Value {
    let values = try evaluateAll(parts, scope)
    var builder = TextBuilder()
    for value in values {
      let text = try text(value)
      try budget.allocate(text.bytes.count)
      builder.append(text)
    }
    return .string(builder.text)
  }

  // MARK: Operators

  private func unary(_ operation: UnaryOperator, _ value: Value) throws(Fault) -> Value {
    if case .undefined(let missing) = value.kind { throw missing.fault }
    guard let number = Number(value) else {
      let sign = operation == .minus ? "-" : "+"
      throw .type("bad operand type for unary \(sign): '\(value.typeName)'")
    }
    if operation == .plus { return number.value }
    switch number {
    case .double(let x): return .double(-x)
    default: return try arithmetic(.subtract, .int(0), number)
    }
  }

  /// `a operation b`.
  func binary(_ operation: BinaryOperator, _ a: Value, _ b: Value) throws(Fault) -> Value {
    if let x = Number(a), let y = Number(b) { return try arithmetic(operation, x, y) }
    if case .undefined(let missing) = a.kind, operation != .modulo || a.text == nil {
      throw missing.fault
    }
    switch (operation, a.kind, b.kind) {
    case (.add, .string(let x), .string(let y)): return try concatenate(x, y)
    case (.modulo, .string(let format), _): return .string(try percentFormat(format, b))
    case (_, _, .undefined(let missing)): throw missing.fault
    case (.add, .list(let x), .list(let y)): return try list(x.items + y.items)
    case (.add, .tuple(let x), .tuple(let y)): return try tuple(x.items + y.items)
    case (.multiply, .string, .int), (.multiply, .list, .int), (.multiply, .tuple, .int),
      (.multiply, .string, .bool), (.multiply, .list, .bool), (.multiply, .tuple, .bool):
      return try repeated(a, b)
    case (.multiply, .int, .string), (.multiply, .int, .list), (.multiply, .int, .tuple),
      (.multiply, .bool, .string), (.multiply, .bool, .list), (.multiply, .bool, .tuple):
      return try repeated(b, a)
    case (.add, .string, _):
      throw .type("can only concatenate str (not \"\(b.typeName)\") to str")
    case (.add, .list, _):
      throw .type("can only concatenate list (not \"\(b.typeName)\") to list")
    case (.add, .tuple, _):
      throw .type("can only concatenate tuple (not \"\(b.typeName)\") to tuple")
    default:
      throw .type(
        "unsupported operand type(s) for \(operation.rawValue): '\(a.typeName)' and '\(b.typeName)'"
      )
    }
  }

  private func concatenate(_ x: Text, _ y: Text) throws(Fault) -> Value {
    try budget.allocate(x.bytes.count + y.bytes.count)
    let escapes = x.isMarkup || y.isMarkup
    var builder = TextBuilder()
    builder.append(escapes ? x.escapedHTML : x)
    builder.append(escapes ? y.escapedHTML : y)
    return .string(builder.text.marked(escapes))
  }

  private func repeated(_ value: Value, _ times: Value) throws(Fault) -> Value {
    let count = max(0, Number(times)?.exactInt ?? 0)
    func total(_ size: Int) throws(Fault) -> Int {
      let (total, overflow) = size.multipliedReportingOverflow(by: count)
      if overflow { throw Fault.limit("bytes of strings and lists", budget.limits.allocatedBytes) }
      return total
    }
    switch value.kind {
    case .string(let text):
      try budget.allocate(try total(text.bytes.count))
      if text.isEmpty { return value }
      var builder = TextBuilder()
      for _ in 0..<count { builder.append(text) }
      return .string(builder.text.marked(text.isMarkup))
    case .list(let object), .tuple(let object):
      try budget.allocateItems(try total(object.items.count))
      var items: [Value] = []
      if !object.items.isEmpty { for _ in 0..<count { items += object.items } }
      if case .list = value.kind { return try list(items) }
      return try tuple(items)
    default: throw .type("can't multiply")
    }
  }

  // MARK: Slices

  private func evaluateSlice(
    _ object: Expression, _ start: Expression?, _ stop: Expression?, _ step: Expression?,
    _ scope: Scope
  ) throws(Fault) -> Value {
    let value = try nested(object, scope)
    var bounds: [Int?] = []
    var parts: [Value] = []
    for part in [start, stop, step] {
      parts.append(try part.map { (part) throws(Fault) in try nested(part, scope) } ?? .null)
    }
    if case .undefined(let missing) = value.kind { throw missing.fault }
    for part in parts {
      switch part.kind {
      case .none: bounds.append(nil)
      case .int(let number): bounds.append(number)
      case .bool(let flag): bounds.append(flag ? 1 : 0)
      case .big(let number): bounds.append(number.isNegative ? .min / 2 : .max / 2)
      default:
        throw .type("slice indices must be integers or None or have an __index__ method")
      }
    }
    return try slice(value, bounds[0], bounds[1], bounds[2] ?? 1)
  }

  /// `value[start:stop:step]`.
  func slice(_ value: Value, _ start: Int?, _ stop: Int?, _ step: Int) throws(Fault) -> Value {
    if step == 0 { throw .value("slice step cannot be zero") }
    switch value.kind {
    case .string(let text):
      try budget.allocate(text.bytes.count)
      let ascii = text.isASCII
      let count = ascii ? text.bytes.count : text.scalarCount
      let range = Self.sliceRange(count, start, stop, step)
      if step == 1 {
        let (low, high) = (range.first, range.first + range.count)
        if ascii { return .string(text.slice(low, high)) }
        return .string(text.slice(text.byteOffset(ofScalar: low), text.byteOffset(ofScalar: high)))
      }
      // A character at a time: far dearer than copying the bytes.
      try budget.step(range.count)
      let offsets = text.scalarOffsets
      var builder = TextBuilder()
      for i in 0..<range.count {
        let place = range.first + i * step
        builder.append(text, from: offsets[place], to: offsets[place + 1])
      }
      return .string(builder.text.marked(text.isMarkup))
    case .list(let object), .tuple(let object):
      let range = Self.sliceRange(object.items.count, start, stop, step)
      var items: [Value] = []
      items.reserveCapacity(range.count)
      for i in 0..<range.count { items.append(object.items[range.first + i * step]) }
      if case .list = value.kind { return try list(items) }
      return try tuple(items)
    case .range(let object):
      let range = Self.sliceRange(object.count, start, stop, step)
      // Bounds beyond Int are only ever printed; items never reach them.
      let first = Self.saturating(object.start, range.first, object.step)
      let stride = Self.saturating(0, object.step, step)
      let end = Self.saturating(first, range.count, stride)
      return Value(
        .range(RangeObject(start: first, stop: end, step: stride, count: range.count)))
    case .dict: throw .type("unhashable type: 'slice'")
    default: throw .type("'\(value.typeName)' object is not subscriptable")
    }
  }

  /// `base + count · step`, held within Int.
  private static func saturating(_ base: Int, _ count: Int, _ step: Int) -> Int {
    let (product, overflow) = count.multipliedReportingOverflow(by: step)
    let isNegative = (count < 0) != (step < 0)
    if overflow { return isNegative ? .min : .max }
    let (sum, outside) = base.addingReportingOverflow(product)
    return outside ? (isNegative ? .min : .max) : sum
  }

  /// Python's `slice.indices`: the first index and how many there are.
  private static func sliceRange(
    _ count: Int, _ start: Int?, _ stop: Int?, _ step: Int
  ) -> (first: Int, count: Int) {
    let (low, high) = step < 0 ? (-1, count - 1) : (0, count)
    func clamp(_ index: Int?, _ otherwise: Int) -> Int {
      guard let index else { return otherwise }
      return index < 0 ? max(index + count, low) : min(index, high)
    }
    let first = clamp(start, step < 0 ? high : low)
    let last = clamp(stop, step < 0 ? low : high)
    if step > 0 { return (first, first < last ? (last - first - 1) / step + 1 : 0) }
    if step == .min { return (first, first > last ? 1 : 0) }
    return (first, first > last ? (first - last - 1) / -step + 1 : 0)
  }
}
