// Variables and the `loop` object: what changes while a template runs, namespaces apart.

/// The variables of a `for` body, macro or block; names are numbers of the program.
final class Scope {
  private var names: [Int] = []
  private var values: [Value] = []
  private(set) var parent: Scope?

  init(parent: Scope?) { self.parent = parent }

  /// The value of a name here or further out.
  func lookup(_ name: Int) -> Value? {
    var scope: Scope? = self
    while let here = scope {
      for (i, candidate) in here.names.enumerated() where candidate == name {
        return here.values[i]
      }
      scope = here.parent
    }
    return nil
  }

  /// Sets a name in this scope.
  func set(_ name: Int, _ value: Value) {
    for (i, candidate) in names.enumerated() where candidate == name {
      values[i] = value
      return
    }
    names.append(name)
    values.append(value)
  }

  /// Forgets the variables, which breaks cycles through macros.
  func clear() {
    names = []
    values = []
  }
}

/// The `loop` variable.
final class LoopObject {
  private var source: [Value]
  private var position = 0
  private var peeked: Value?
  private var accepts: ((Value) throws(Fault) -> Value?)?
  private var total: Int?
  private(set) var index0 = -1
  private(set) var current: Value?
  private(set) var previous: Value?
  let depth0: Int
  /// Set where the loop is recursive.
  let recursion: (loop: ForLoop, scope: Scope)?
  var lastChanged: [Value]?

  init(
    _ source: [Value], depth0: Int, recursion: (loop: ForLoop, scope: Scope)?,
    accepts: ((Value) throws(Fault) -> Value?)?
  ) {
    self.source = source
    self.depth0 = depth0
    self.recursion = recursion
    self.accepts = accepts
    total = accepts == nil ? source.count : nil
  }

  private func pull() throws(Fault) -> Value? {
    while position < source.count {
      let value = source[position]
      position += 1
      guard let accepts else { return value }
      if let accepted = try accepts(value) { return accepted }
    }
    return nil
  }

  /// The item after the current one.
  func peek() throws(Fault) -> Value? {
    if peeked == nil { peeked = try pull() }
    return peeked
  }

  /// Goes on to the next item.
  func next() throws(Fault) -> Value? {
    guard let value = try peek() else { return nil }
    peeked = nil
    index0 += 1
    previous = current
    current = value
    return value
  }

  /// How many items there are in all; a filtered loop is run ahead to know.
  func length() throws(Fault) -> Int {
    if let total { return total }
    var rest: [Value] = []
    while let value = try peek() {
      peeked = nil
      rest.append(value)
    }
    source = rest
    position = 0
    accepts = nil
    total = index0 + 1 + rest.count
    return index0 + 1 + rest.count
  }

  /// Forgets the items.
  func clear() {
    source = []
    peeked = nil
    accepts = nil
    current = nil
    previous = nil
    lastChanged = nil
  }
}
