// `tojson` as transformers overrides it: Python's json.dumps, with nothing escaped for HTML. Text keeps
// the origin of the value it is of.

import OrderedJSON

extension Interpreter {
  /// The options of `json.dumps`.
  struct JSONOptions {
    var ensureASCII = false
    var indent: Text?
    var itemSeparator = Text(", ")
    var keySeparator = Text(": ")
    var sortKeys = false
  }

  /// `value | tojson(...)`.
  func toJSON(_ value: Value, _ arguments: Arguments) throws(Fault) -> Value {
    let given = try arguments.bound(
      "tojson", ["ensure_ascii", "indent", "separators", "sort_keys"])
    var options = JSONOptions()
    if let flag = given[0] { options.ensureASCII = try isTrue(flag) }
    if let indent = given[1], !indent.isNone {
      if case .string(let text) = indent.kind {
        options.indent = text
      } else {
        let width = try bounded(max(0, integer(indent, "indent")), 10_000)
        options.indent = Text([UInt8](repeating: 0x20, count: width))
      }
      options.itemSeparator = Text(",")
    }
    if let separators = given[2], !separators.isNone {
      let pair = try iterate(separators)
      guard pair.count == 2, let item = pair[0].text, let key = pair[1].text else {
        throw .value("separators must be a pair of strings")
      }
      options.itemSeparator = item
      options.keySeparator = key
    }
    if let flag = given[3] { options.sortKeys = try isTrue(flag) }
    var builder = TextBuilder()
    try writeJSON(value, options, level: 0, to: &builder)
    try budget.allocate(builder.count)
    let text = builder.text
    return .string(value.origin.isTemplate ? text : text.attributed(to: value.origin))
  }

  private func writeJSON(
    _ value: Value, _ options: JSONOptions, level: Int, to builder: inout TextBuilder
  ) throws(Fault) {
    try budget.step()
    let origin = value.origin
    switch value.kind {
    case .none: builder.append("null", origin: origin)
    case .bool(let flag): builder.append(flag ? "true" : "false", origin: origin)
    case .int(let number): builder.append(String(number), origin: origin)
    case .big(let number): builder.append(try digits(of: number), origin: origin)
    case .double(let number):
      builder.append(JSON.pythonRepresentation(of: number), origin: origin)
    case .string(let text): try writeJSON(text, options, to: &builder)
    case .list(let object), .tuple(let object):
      if object.items.isEmpty {
        builder.append("[]", origin: origin)
        return
      }
      try enter()
      builder.append("[", origin: origin)
      for (i, item) in object.items.enumerated() {
        if i > 0 { builder.append(options.itemSeparator) }
        try newLine(options, level + 1, to: &builder)
        try writeJSON(item, options, level: level + 1, to: &builder)
      }
      try newLine(options, level, to: &builder)
      builder.append("]", origin: origin)
      leave()
    case .dict(let object): try writeJSON(object, origin, options, level: level, to: &builder)
    default: throw .type("Object of type \(value.typeName) is not JSON serializable")
    }
    try checkSize(builder.count)
  }

  private func newLine(
    _ options: JSONOptions, _ level: Int, to builder: inout TextBuilder
  ) throws(Fault) {
    guard let indent = options.indent else { return }
    try checkSize(builder.count + level * indent.bytes.count)
    builder.append("\n")
    for _ in 0..<level { builder.append(indent) }
  }

  private func writeJSON(
    _ object: DictObject, _ origin: OriginID, _ options: JSONOptions, level: Int,
    to builder: inout TextBuilder
  ) throws(Fault) {
    if object.count == 0 {
      builder.append("{}", origin: origin)
      return
    }
    try enter()
    var entries = object.entries
    if options.sortKeys {
      entries = try sorted(entries.map { Value(.tuple(ListObject([$0.key, $0.value]))) }) {
        (a: Value, b: Value) throws(Fault) -> Int? in
        guard case .tuple(let x) = a.kind, case .tuple(let y) = b.kind else { return 0 }
        return try self.order(x.items[0], y.items[0], "<")
      }.compactMap { value -> (key: Value, value: Value)? in
        guard case .tuple(let pair) = value.kind else { return nil }
        return (pair.items[0], pair.items[1])
      }
    }
    builder.append("{", origin: origin)
    for (i, entry) in entries.enumerated() {
      if i > 0 { builder.append(options.itemSeparator) }
      try newLine(options, level + 1, to: &builder)
      try writeJSON(try jsonKey(entry.key), options, to: &builder)
      builder.append(options.keySeparator)
      try writeJSON(entry.value, options, level: level + 1, to: &builder)
    }
    try newLine(options, level, to: &builder)
    builder.append("}", origin: origin)
    leave()
  }

  private func jsonKey(_ key: Value) throws(Fault) -> Text {
    switch key.kind {
    case .string(let text): return text
    case .none: return Text("null")
    case .bool(let flag): return Text(flag ? "true" : "false")
    case .int(let number): return Text(String(number))
    case .big(let number): return Text(try digits(of: number))
    case .double(let number): return Text(JSON.pythonRepresentation(of: number))
    default:
      throw .type("keys must be str, int, float, bool or None, not \(key.typeName)")
    }
  }

  private func writeJSON(
    _ text: Text, _ options: JSONOptions, to builder: inout TextBuilder
  ) throws(Fault) {
    try budget.step(text.bytes.count >> 2)
    let outer = text.isEmpty ? text.origin : text.origin(at: 0)
    builder.append(0x22, origin: outer)
    var plain = 0
    var offset = 0
    while offset < text.bytes.count {
      let byte = text.bytes[offset]
      if byte < 0x80 || !options.ensureASCII {
        guard byte < 0x20 || byte == 0x22 || byte == 0x5C else {
          offset += 1
          continue
        }
        builder.append(text, from: plain, to: offset)
        builder.append(Self.jsonEscape(byte), origin: text.origin(at: offset))
        offset += 1
      } else {
        let (scalar, next) = text.scalar(at: offset)
        builder.append(text, from: plain, to: offset)
        for unit in String(scalar).utf16 {
          builder.append("\\u" + Self.hex4(Int(unit)), origin: text.origin(at: offset))
        }
        offset = next
      }
      plain = offset
    }
    builder.append(text, from: plain, to: text.bytes.count)
    builder.append(0x22, origin: outer)
  }

  private static func jsonEscape(_ byte: UInt8) -> String {
    switch byte {
    case 0x22: "\\\""
    case 0x5C: "\\\\"
    case 0x0A: "\\n"
    case 0x0D: "\\r"
    case 0x09: "\\t"
    case 0x08: "\\b"
    case 0x0C: "\\f"
    default: "\\u" + hex4(Int(byte))
    }
  }

  private static func hex4(_ value: Int) -> String {
    let digits = String(value, radix: 16)
    return String(repeating: "0", count: max(0, 4 - digits.utf8.count)) + digits
  }
}
