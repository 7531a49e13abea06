// Filters over sequences: selecting, mapping, sorting, grouping.

extension Interpreter {
  /// The filter's result, or nil where `name` is no filter of sequences.
  func sequenceFilter(_ name: String, _ value: Value, _ arguments: Arguments) throws(Fault)
    -> Value?
  {
    switch name {
    case "list":
      _ = try arguments.positional("do_list", 0, 0)
      return try list(iterate(value))
    case "items":
      _ = try arguments.positional("do_items", 0, 0)
      return try mappingItems(value)
    case "first":
      _ = try arguments.positional("do_first", 0, 0)
      if case .iterator(let iterator) = value.kind {
        return try iterator.next() ?? undefined("No first item, sequence was empty.")
      }
      return try iterate(value).first ?? undefined("No first item, sequence was empty.")
    case "last":
      _ = try arguments.positional("do_last", 0, 0)
      return try reversible(value).last ?? undefined("No last item, sequence was empty.")
    case "random":
      _ = try arguments.positional("do_random", 0, 0)
      return try iterate(value).randomElement() ?? undefined("No random item, sequence was empty.")
    case "reverse":
      _ = try arguments.positional("do_reverse", 0, 0)
      if case .string = value.kind { return try slice(value, nil, nil, -1) }
      let items: [Value]
      if case .iterator = value.kind {
        items = try iterate(value)
        return try list(items.reversed())
      }
      items = try reversible(value)
      return iterator("list_reverseiterator", [value]) { () throws(Fault) in items.reversed() }
    case "join": return try join(value, arguments)
    case "map": return try map(value, arguments)
    case "select", "reject", "selectattr", "rejectattr": return try select(name, value, arguments)
    case "sort": return try sort(value, arguments)
    case "dictsort": return try dictSort(value, arguments)
    case "unique": return try unique(value, arguments)
    case "min", "max": return try extreme(name, value, arguments)
    case "sum": return try sum(value, arguments)
    case "groupby": return try groupBy(value, arguments)
    case "batch": return try batch(value, arguments)
    case "slice": return try slices(value, arguments)
    default: return nil
    }
  }

  private func flag(_ value: Value?) throws(Fault) -> Bool {
    try value.map { (value) throws(Fault) in try isTrue(value) } ?? false
  }

  /// `reverse=` of Python's `sorted`, which wants an integer.
  private func reverseFlag(_ value: Value?) throws(Fault) -> Bool {
    try value.map { (value) throws(Fault) in try integer(value, "reverse") != 0 } ?? false
  }

  /// A generator whose items are made when they are asked for.
  private func iterator(
    _ typeName: String, _ sources: [Value], _ produce: @escaping () throws(Fault) -> [Value]
  ) -> Value {
    let depth = (sources.map(\.depth).max() ?? 0) + 1
    let object = IteratorObject(typeName, depth: depth, produce)
    owned.append { object.clear() }
    return Value(.iterator(object))
  }

  private func generator(
    _ sources: [Value], _ produce: @escaping () throws(Fault) -> [Value]
  ) throws(Fault) -> Value {
    let value = iterator("generator", sources, produce)
    try budget.allocate(256)
    try checkDepth(value.depth)
    return value
  }

  private func mappingItems(_ value: Value) throws(Fault) -> Value {
    switch value.kind {
    case .undefined: return try generator([]) { () throws(Fault) in [] }
    case .dict(let object):
      return try generator([value]) { [unowned self] () throws(Fault) in
        try self.items(of: object, .items)
      }
    default:
      return try generator([value]) { () throws(Fault) in
        throw .type("Can only get item pairs from a mapping.")
      }
    }
  }

  private func reversible(_ value: Value) throws(Fault) -> [Value] {
    switch value.kind {
    case .iterator(let object): throw .type("'\(object.typeName)' object is not reversible")
    case .loop: throw .type("'LoopContext' object is not reversible")
    case .undefined, .list, .tuple, .string, .dict, .view, .range: return try iterate(value)
    default: throw .type("'\(value.typeName)' object is not reversible")
    }
  }

  // MARK: Attributes

  /// The parts of an attribute path: names and positions.
  private func attributeParts(_ attribute: Value?) throws(Fault) -> [Value] {
    guard let attribute, !attribute.isNone else { return [] }
    guard case .string(let text) = attribute.kind else { return [attribute] }
    var parts: [Value] = []
    for piece in text.pieces(at: text.places(of: [0x2E]), width: 1) {
      if !piece.isEmpty, piece.bytes.allSatisfy(\.isDigit), piece.bytes.count < 18 {
        parts.append(.int(Int(piece.string) ?? 0))
      } else {
        parts.append(.string(piece))
      }
    }
    return parts
  }

  private func follow(
    _ parts: [Value], from value: Value, default fallback: Value? = nil
  ) throws(Fault) -> Value {
    var current = value
    for part in parts {
      try budget.step()
      current = try item(current, part)
      if let fallback, !fallback.isNone, current.isUndefined { current = fallback }
    }
    return current
  }

  private func ignoringCase(_ value: Value) throws(Fault) -> Value {
    guard case .string(let text) = value.kind else { return value }
    try budget.allocate(text.bytes.count)
    return .string(text.lowercased)
  }

  // MARK: Mapping and selecting

  private func join(_ value: Value, _ arguments: Arguments) throws(Fault) -> Value {
    let given = try arguments.bound("do_join", ["d", "attribute"])
    let parts = try attributeParts(given[1])
    var texts: [Text] = []
    for item in try iterate(value) {
      texts.append(try text(follow(parts, from: item)).marked(false))
    }
    let separator = try given[0].map { (v) throws(Fault) in try text(v) } ?? Text("")
    return .string(try join(texts, separator: separator.marked(false)))
  }

  private func map(_ value: Value, _ arguments: Arguments) throws(Fault) -> Value {
    try generator([value] + arguments.positional + arguments.keywords.map(\.value)) {
      [unowned self] () throws(Fault) in
      guard try self.isTrue(value) else { return [] }
      var results: [Value] = []
      if arguments.positional.isEmpty,
        let attribute = arguments.keywords.first(where: { $0.name == "attribute" })
      {
        let fallback = arguments.keywords.first { $0.name == "default" }?.value
        if let unknown = arguments.keywords.first(where: {
          $0.name != "attribute" && $0.name != "default"
        }) {
          throw Fault(.filterArgument, "Unexpected keyword argument '\(unknown.name)'")
        }
        let parts = try self.attributeParts(attribute.value)
        for item in try self.iterate(value) {
          results.append(try self.follow(parts, from: item, default: fallback))
        }
      } else {
        guard let first = arguments.positional.first else {
          throw Fault(.filterArgument, "map requires a filter argument")
        }
        let name = try self.string(first, "map").string
        var rest = arguments
        rest.positional.removeFirst()
        for item in try self.iterate(value) {
          try self.enter()
          results.append(try self.filter(name, item, rest))
          self.leave()
        }
      }
      try self.budget.allocateItems(results.count)
      return results
    }
  }

  private func select(_ name: String, _ value: Value, _ arguments: Arguments) throws(Fault) -> Value
  {
    let usesAttribute = name.hasSuffix("attr")
    let keeps = name.hasPrefix("select")
    return try generator([value] + arguments.positional) { [unowned self] () throws(Fault) in
      guard try self.isTrue(value) else { return [] }
      var rest = arguments
      var parts: [Value] = []
      if usesAttribute {
        guard !rest.positional.isEmpty else {
          throw Fault(.filterArgument, "Missing parameter for attribute name")
        }
        parts = try self.attributeParts(rest.positional.removeFirst())
      }
      let test = rest.positional.isEmpty ? nil : rest.positional.removeFirst()
      let testName = try test.map { (v) throws(Fault) in try self.string(v, name).string }
      var results: [Value] = []
      for item in try self.iterate(value) {
        let subject = try self.follow(parts, from: item)
        let holds: Bool
        if let testName {
          holds = try self.test(testName, subject, rest)
        } else {
          holds = try self.isTrue(subject)
        }
        if holds == keeps { results.append(item) }
      }
      try self.budget.allocateItems(results.count)
      return results
    }
  }

  // MARK: Sorting

  /// A stable sort by `order`, which gives −1, 0, 1 or nil for unordered.
  func sorted(
    _ values: [Value], reverse: Bool = false,
    by order: (Value, Value) throws(Fault) -> Int?
  ) throws(Fault) -> [Value] {
    try budget.allocateItems(values.count)
    var from = reverse ? values.reversed() : values
    var to = from
    var width = 1
    while width < from.count {
      var start = 0
      while start < from.count {
        let (middle, end) = (min(start + width, from.count), min(start + 2 * width, from.count))
        var (i, j) = (start, middle)
        for k in start..<end {
          try budget.step()
          var takesRight = i >= middle
          if !takesRight && j < end { takesRight = (try order(from[j], from[i]) ?? 0) < 0 }
          to[k] = takesRight ? from[j] : from[i]
          if takesRight { j += 1 } else { i += 1 }
        }
        start = end
      }
      swap(&from, &to)
      width *= 2
    }
    return reverse ? from.reversed() : from
  }

  /// Values sorted by keys made beforehand.
  private func sorted(
    _ values: [Value], keys: [Value], reverse: Bool
  ) throws(Fault) -> [Value] {
    var pairs: [Value] = []
    for (key, value) in zip(keys, values) { pairs.append(Value(.tuple(ListObject([key, value])))) }
    func part(_ value: Value, _ index: Int) -> Value {
      if case .tuple(let pair) = value.kind { return pair.items[index] }
      return .null
    }
    let ordered = try sorted(pairs, reverse: reverse) { [unowned self] (a, b) throws(Fault) in
      try self.order(part(a, 0), part(b, 0), "<")
    }
    return ordered.map { part($0, 1) }
  }

  private func sort(_ value: Value, _ arguments: Arguments) throws(Fault) -> Value {
    let given = try arguments.bound("do_sort", ["reverse", "case_sensitive", "attribute"])
    let isCaseSensitive = try flag(given[1])
    var paths: [[Value]] = []
    if let attribute = given[2], case .string(let text) = attribute.kind {
      for piece in text.pieces(at: text.places(of: [0x2C]), width: 1) {
        paths.append(try attributeParts(.string(piece)))
      }
    } else {
      paths = [try attributeParts(given[2])]
    }
    let items = try iterate(value)
    var keys: [Value] = []
    for item in items {
      var key: [Value] = []
      for path in paths {
        let part = try follow(path, from: item)
        key.append(isCaseSensitive ? part : try ignoringCase(part))
      }
      keys.append(try list(key))
    }
    return try list(sorted(items, keys: keys, reverse: reverseFlag(given[0])))
  }

  private func dictSort(_ value: Value, _ arguments: Arguments) throws(Fault) -> Value {
    let given = try arguments.bound("do_dictsort", ["case_sensitive", "by", "reverse"])
    let by = try given[1].map { (v) throws(Fault) in try text(v).string } ?? "key"
    guard by == "key" || by == "value" else {
      throw Fault(.filterArgument, "You can only sort by either \"key\" or \"value\"")
    }
    guard case .dict(let object) = value.kind else {
      if case .undefined(let missing) = value.kind { throw missing.fault }
      throw .type("'\(value.typeName)' object has no attribute 'items'")
    }
    let isCaseSensitive = try flag(given[0])
    var keys: [Value] = []
    for entry in object.entries {
      let key = by == "key" ? entry.key : entry.value
      keys.append(isCaseSensitive ? key : try ignoringCase(key))
    }
    return try list(sorted(items(of: object, .items), keys: keys, reverse: reverseFlag(given[2])))
  }

  private func unique(_ value: Value, _ arguments: Arguments) throws(Fault) -> Value {
    let given = try arguments.bound("do_unique", ["case_sensitive", "attribute"])
    let isCaseSensitive = try flag(given[0])
    let parts = try attributeParts(given[1])
    return try generator([value]) { [unowned self] () throws(Fault) in
      var seen: Set<DictKey> = []
      var results: [Value] = []
      for item in try self.iterate(value) {
        let subject = try self.follow(parts, from: item)
        let key = try self.key(isCaseSensitive ? subject : self.ignoringCase(subject))
        if seen.insert(key).inserted { results.append(item) }
      }
      return results
    }
  }

  private func extreme(_ name: String, _ value: Value, _ arguments: Arguments) throws(Fault)
    -> Value
  {
    let given = try arguments.bound("do_\(name)", ["case_sensitive", "attribute"])
    let isCaseSensitive = try flag(given[0])
    let parts = try attributeParts(given[1])
    var best: (item: Value, key: Value)?
    for item in try iterate(value) {
      let subject = try follow(parts, from: item)
      let key = isCaseSensitive ? subject : try ignoringCase(subject)
      guard let current = best else {
        best = (item, key)
        continue
      }
      let symbol = name == "min" ? "<" : ">"
      let order = try order(key, current.key, symbol) ?? 0
      if name == "min" ? order < 0 : order > 0 { best = (item, key) }
    }
    return best?.item ?? undefined("No aggregated item, sequence was empty.")
  }

  private func sum(_ value: Value, _ arguments: Arguments) throws(Fault) -> Value {
    let given = try arguments.bound("do_sum", ["attribute", "start"])
    let parts = try attributeParts(given[0])
    var total = given[1] ?? .int(0)
    if case .string = total.kind {
      throw .type("sum() can't sum strings [use ''.join(seq) instead]")
    }
    for item in try iterate(value) {
      total = try binary(.add, total, follow(parts, from: item))
    }
    return total
  }

  private func groupBy(_ value: Value, _ arguments: Arguments) throws(Fault) -> Value {
    let given = try arguments.bound(
      "do_groupby", ["attribute", "default", "case_sensitive"], required: 1)
    let isCaseSensitive = try flag(given[2])
    let parts = try attributeParts(given[0])
    let items = try iterate(value)
    var keys: [Value] = []
    for item in items {
      let key = try follow(parts, from: item, default: given[1])
      keys.append(isCaseSensitive ? key : try ignoringCase(key))
    }
    let order = try sorted((0..<items.count).map { .int($0) }, keys: keys, reverse: false)
    var groups: [(key: Value, items: [Value])] = []
    var lastKey: Value?
    for place in order {
      guard case .int(let index) = place.kind else { continue }
      if let last = lastKey, try isEqual(last, keys[index]) {
        groups[groups.count - 1].items.append(items[index])
      } else {
        let key = try follow(parts, from: items[index], default: given[1])
        groups.append((key, [items[index]]))
      }
      lastKey = keys[index]
    }
    var results: [Value] = []
    for group in groups {
      let pair = ListObject([group.key, try list(group.items)], fields: ["grouper", "list"])
      results.append(Value(.tuple(pair)))
    }
    return try list(results)
  }

  // MARK: Grouping

  private func batch(_ value: Value, _ arguments: Arguments) throws(Fault) -> Value {
    let given = try arguments.bound("do_batch", ["linecount", "fill_with"], required: 1)
    let fill = given[1].flatMap { $0.isNone ? nil : $0 }
    return try generator([value]) { [unowned self] () throws(Fault) in
      let count = try self.integer(given[0] ?? .null, "linecount")
      var rows: [Value] = []
      var row: [Value] = []
      for item in try self.iterate(value) {
        if row.count == count {
          rows.append(try self.list(row))
          row = []
        }
        row.append(item)
      }
      if !row.isEmpty {
        if let fill, row.count < count {
          try self.budget.allocateItems(count - row.count)
          row += [Value](repeating: fill, count: count - row.count)
        }
        rows.append(try self.list(row))
      }
      return rows
    }
  }

  private func slices(_ value: Value, _ arguments: Arguments) throws(Fault) -> Value {
    let given = try arguments.bound("do_slice", ["slices", "fill_with"], required: 1)
    let fill = given[1].flatMap { $0.isNone ? nil : $0 }
    return try generator([value]) { [unowned self] () throws(Fault) in
      let items = try self.iterate(value)
      let count = try self.integer(given[0] ?? .null, "slices")
      if count == 0 { throw Fault(.zeroDivision, "integer division or modulo by zero") }
      if count < 0 { return [] }
      try self.budget.allocateItems(count)
      let (size, extra) = (items.count / count, items.count % count)
      var rows: [Value] = []
      var start = 0
      for i in 0..<count {
        let end = start + size + (i < extra ? 1 : 0)
        var row = Array(items[start..<end])
        if let fill, i >= extra { row.append(fill) }
        rows.append(try self.list(row))
        start = end
      }
      return rows
    }
  }
}
