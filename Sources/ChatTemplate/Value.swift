// The values of the template language: Python's, as far as templates can make them. Each value remembers
// the input it came from; strings remember it for every character. Operations on values are elsewhere.

/// A value with its origin.
struct Value {
  /// The kinds of values.
  enum Kind {
    case undefined(Undefined)
    case none
    case bool(Bool)
    case int(Int)
    case big(BigInteger)
    case double(Double)
    case string(Text)
    case list(ListObject)
    case tuple(ListObject)
    case dict(DictObject)
    case view(DictView, DictObject)
    case range(RangeObject)
    case iterator(IteratorObject)
    case namespace(NamespaceObject)
    case loop(LoopObject)
    case macro(MacroObject)
    case function(FunctionObject)
    case cycler(CyclerObject)
  }

  let kind: Kind
  /// The input this value is, when it is one; strings have their own.
  var origin: OriginID = .template

  init(_ kind: Kind, origin: OriginID = .template) {
    self.kind = kind
    self.origin = origin
  }

  static var null: Value { Value(.none) }
  static var `true`: Value { Value(.bool(true)) }
  static var `false`: Value { Value(.bool(false)) }

  static func bool(_ value: Bool) -> Value { Value(.bool(value)) }
  static func int(_ value: Int) -> Value { Value(.int(value)) }
  static func double(_ value: Double) -> Value { Value(.double(value)) }
  static func string(_ text: Text) -> Value { Value(.string(text)) }
  static func string(_ text: String) -> Value { Value(.string(Text(text))) }

  /// An integer in its smallest form.
  static func integer(_ value: BigInteger) -> Value {
    value.int.map { .int($0) } ?? Value(.big(value))
  }

  /// Python's name of the value's class.
  var typeName: String {
    switch kind {
    case .undefined: "Undefined"
    case .none: "NoneType"
    case .bool: "bool"
    case .int, .big: "int"
    case .double: "float"
    case .string(let text): text.isMarkup ? "Markup" : "str"
    case .list: "list"
    case .tuple: "tuple"
    case .dict: "dict"
    case .view(let view, _): view.typeName
    case .range: "range"
    case .iterator(let iterator): iterator.typeName
    case .namespace: "TemplateNamespace"
    case .loop: "LoopContext"
    case .macro: "Macro"
    case .function(let function): function.typeName
    case .cycler: "Cycler"
    }
  }

  /// How deep containers nest from here.
  var depth: Int {
    switch kind {
    case .list(let object), .tuple(let object): object.depth
    case .dict(let object), .view(_, let object): object.depth
    case .iterator(let iterator): iterator.depth
    case .function(let function): function.depth
    case .cycler(let cycler): cycler.items.depth
    default: 0
    }
  }

  /// Number of values from here down, shared ones counted as often as they appear.
  var weight: Int {
    switch kind {
    case .list(let object), .tuple(let object): object.weight
    case .dict(let object), .view(_, let object): object.weight
    default: 1
    }
  }

  /// Sum of weights that stops growing before it overflows.
  static func heavier(_ a: Int, _ b: Int) -> Int { min(a + b, 1 << 60) }

  var isUndefined: Bool {
    if case .undefined = kind { true } else { false }
  }

  var isNone: Bool {
    if case .none = kind { true } else { false }
  }

  var text: Text? {
    if case .string(let text) = kind { text } else { nil }
  }
}

/// A missing value: prints as nothing, fails when used.
final class Undefined {
  let message: String
  let kind: Fault.Kind

  init(_ message: String, kind: Fault.Kind = .undefined) {
    self.message = message
    self.kind = kind
  }

  var fault: Fault { Fault(kind, message) }
}

/// The elements of a list or tuple. Templates cannot change them.
final class ListObject {
  let items: [Value]
  let depth: Int
  /// Number of values in here, shared ones counted as often as they appear.
  let weight: Int
  /// Field names of a named tuple, as `groupby` makes them.
  let fields: [String]

  init(_ items: [Value], fields: [String] = []) {
    self.items = items
    self.fields = fields
    var (deepest, sum) = (0, 1)
    for item in items {
      deepest = max(deepest, item.depth)
      sum = Value.heavier(sum, item.weight)
    }
    depth = deepest + 1
    weight = sum
  }
}

/// The entries of a dict in order. Templates cannot change them.
final class DictObject {
  private(set) var entries: [(key: Value, value: Value)] = []
  private var index: [DictKey: Int] = [:]
  private(set) var depth = 1
  private(set) var weight = 1
  private static let indexedCount = 8

  init() {}

  var count: Int { entries.count }

  /// Sets a key while the dict is being built.
  func set(_ key: Value, _ hash: DictKey, _ value: Value) {
    note(key, value)
    if let place = find(hash) {
      entries[place].value = value
      return
    }
    entries.append((key, value))
    if entries.count == Self.indexedCount + 1 {
      for (i, entry) in entries.enumerated() {
        if let key = DictKey(entry.key) { index[key] = i }
      }
    } else if entries.count > Self.indexedCount {
      index[hash] = entries.count - 1
    }
  }

  private func note(_ key: Value, _ value: Value) {
    depth = max(depth, max(key.depth, value.depth) + 1)
    weight = Value.heavier(weight, Value.heavier(key.weight, value.weight))
  }

  /// A dict of distinct string keys.
  init(strings: [(key: Value, value: Value)]) {
    entries = strings
    for (i, entry) in strings.enumerated() {
      note(entry.key, entry.value)
      if strings.count > Self.indexedCount, let key = DictKey(entry.key) { index[key] = i }
    }
  }

  /// The value of a key.
  subscript(_ key: DictKey) -> Value? { find(key).map { entries[$0].value } }

  /// The value of a string key.
  subscript(_ key: [UInt8]) -> Value? {
    if entries.count > Self.indexedCount { return self[DictKey.string(key)] }
    for entry in entries {
      if case .string(let text) = entry.key.kind, text.bytes == key { return entry.value }
    }
    return nil
  }

  private func find(_ key: DictKey) -> Int? {
    if entries.count > Self.indexedCount { return index[key] }
    for (i, entry) in entries.enumerated() where DictKey(entry.key) == key { return i }
    return nil
  }
}

/// A hashable value as a key, equal where Python's keys are equal.
enum DictKey: Hashable {
  case string([UInt8])
  case int(Int)
  case big([UInt8])
  case double(UInt64)
  case none
  case undefined
  case tuple([DictKey])
  case object(ObjectIdentifier)

  /// Nil for values that cannot be keys.
  init?(_ value: Value) {
    switch value.kind {
    case .string(let text): self = .string(text.bytes)
    case .none: self = .none
    case .bool(let flag): self = .int(flag ? 1 : 0)
    case .int(let number): self = .int(number)
    case .big(let number): self = .big(number.decimal)
    case .double(let number):
      if let whole = Int(exactly: number) {
        self = .int(whole)
      } else {
        self = .double(number.bitPattern)
      }
    case .undefined: self = .undefined
    case .tuple(let object):
      guard object.weight <= 10_000 else { return nil }
      var keys: [DictKey] = []
      for item in object.items {
        guard let key = DictKey(item) else { return nil }
        keys.append(key)
      }
      self = .tuple(keys)
    case .list, .dict, .view: return nil
    case .range(let object): self = .object(ObjectIdentifier(object))
    case .iterator(let object): self = .object(ObjectIdentifier(object))
    case .namespace(let object): self = .object(ObjectIdentifier(object))
    case .loop(let object): self = .object(ObjectIdentifier(object))
    case .macro(let object): self = .object(ObjectIdentifier(object))
    case .function(let object): self = .object(ObjectIdentifier(object))
    case .cycler(let object): self = .object(ObjectIdentifier(object))
    }
  }
}

/// What a dict's view shows.
enum DictView {
  case keys, values, items

  var typeName: String {
    switch self {
    case .keys: "dict_keys"
    case .values: "dict_values"
    case .items: "dict_items"
    }
  }
}

/// Python's `range`.
final class RangeObject {
  let start: Int
  let stop: Int
  let step: Int
  let count: Int

  /// `count` is the number of items, which the caller has bounded.
  init(start: Int, stop: Int, step: Int, count: Int) {
    self.start = start
    self.stop = stop
    self.step = step
    self.count = count
  }

  subscript(_ index: Int) -> Int { start &+ index &* step }
}

/// An iterator or generator: gives its items once.
final class IteratorObject {
  let typeName: String
  let depth: Int
  private var pending: (() throws(Fault) -> [Value])?
  private var items: [Value] = []
  private var position = 0

  /// `produce` runs when the first item is asked for.
  init(
    _ typeName: String, depth: Int, _ produce: @escaping () throws(Fault) -> [Value]
  ) {
    self.typeName = typeName
    self.depth = depth
    pending = produce
  }

  private func start() throws(Fault) {
    if let produce = pending {
      pending = nil
      items = try produce()
    }
  }

  /// All items left.
  func drain() throws(Fault) -> [Value] {
    try start()
    let rest = Array(items[position...])
    items = []
    position = 0
    return rest
  }

  /// The next item.
  func next() throws(Fault) -> Value? {
    try start()
    guard position < items.count else { return nil }
    position += 1
    return items[position - 1]
  }

  /// Forgets everything, so that ending a rendering frees long chains step by step.
  func clear() {
    pending = nil
    items = []
    position = 0
  }
}

/// `namespace(...)`: the one thing templates may change.
final class NamespaceObject {
  var attributes: [(name: [UInt8], value: Value)] = []

  subscript(_ name: [UInt8]) -> Value? {
    get {
      for attribute in attributes where attribute.name == name { return attribute.value }
      return nil
    }
    set {
      guard let newValue else { return }
      for i in attributes.indices where attributes[i].name == name {
        attributes[i].value = newValue
        return
      }
      attributes.append((name, newValue))
    }
  }
}

/// `cycler(...)`; also `joiner(...)`, which has one item and is called.
final class CyclerObject {
  let items: ListObject
  let isJoiner: Bool
  var position = 0

  init(_ items: [Value], isJoiner: Bool = false) {
    self.items = ListObject(items)
    self.isJoiner = isJoiner
  }
}

/// A macro with the scope it was defined in.
final class MacroObject {
  let definition: MacroDefinition
  let scope: Scope

  init(_ definition: MacroDefinition, _ scope: Scope) {
    self.definition = definition
    self.scope = scope
  }
}

/// A function of the environment, or a method bound to a value.
final class FunctionObject {
  /// Nil for a global function.
  let receiver: Value?
  let name: String

  init(_ name: String, receiver: Value? = nil) {
    self.name = name
    self.receiver = receiver
  }

  var typeName: String { receiver == nil ? "function" : "builtin_function_or_method" }
  var depth: Int { receiver.map { $0.depth + 1 } ?? 0 }
}
