// The regular expressions by which PEFT's patterns name modules: enough of Python's syntax for module paths, matched in
// time that grows with pattern times path whatever the pattern is, since patterns come out of files.
// Not a general engine: groups capture nothing, and there is no looking around.

/// A key of `rank_pattern` or `alpha_pattern`: a regular expression for the end of a module's path. Or `target_modules`: one for the
/// whole of it.
public struct ModulePattern: Sendable, Hashable {
  /// The expression as it is written.
  public let source: String
  private let program: [Step]

  /// A step of the automaton; targets are indices of steps.
  private enum Step: Sendable, Hashable {
    case byte(ByteSet)
    case either(Int, Int)
    case jump(Int)
    case start, end, accept
  }

  /// Reads an expression for the whole of a path, or for what follows one of its dots.
  public init(_ source: String, wholePath: Bool = false) throws(ModulePatternError) {
    self.source = source
    var parser = PatternParser(source)
    let key = try parser.parse()
    // PEFT: re.match(rf"(.*\.)?({key})$", path), or re.fullmatch(key, path).
    let prefix = PatternNode.sequence([
      .repetition(.byte(.any), least: 0, most: nil), .byte(ByteSet([0x2E])),
    ])
    var program: [Step] = []
    try ModulePattern.compile(
      .sequence((wholePath ? [] : [.repetition(prefix, least: 0, most: 1)]) + [key, .end]), source,
      into: &program)
    program.append(.accept)
    self.program = program
  }

  private static let stepLimit = 20_000

  private static func compile(_ node: PatternNode, _ source: String, into program: inout [Step])
    throws(ModulePatternError)
  {
    guard program.count < stepLimit else {
      throw ModulePatternError(source: source, problem: "is too large")
    }
    switch node {
    case .byte(let set): program.append(.byte(set))
    case .start: program.append(.start)
    case .end: program.append(.end)
    case .sequence(let parts):
      for part in parts { try compile(part, source, into: &program) }
    case .alternatives(let parts):
      var jumps: [Int] = []
      for part in parts.dropLast() {
        let fork = program.count
        program.append(.jump(0))
        try compile(part, source, into: &program)
        jumps.append(program.count)
        program.append(.jump(0))
        program[fork] = .either(fork + 1, program.count)
      }
      if let last = parts.last { try compile(last, source, into: &program) }
      for jump in jumps { program[jump] = .jump(program.count) }
    case .repetition(let part, let least, let most):
      for _ in 0..<least {
        program.append(.jump(program.count + 1))  // so that copies of nothing count as well
        try compile(part, source, into: &program)
      }
      if let most {
        var forks: [Int] = []
        for _ in least..<most {
          forks.append(program.count)
          program.append(.jump(0))
          try compile(part, source, into: &program)
        }
        for fork in forks { program[fork] = .either(fork + 1, program.count) }
      } else {
        let fork = program.count
        program.append(.jump(0))
        try compile(part, source, into: &program)
        program.append(.jump(fork))
        program[fork] = .either(fork + 1, program.count)
      }
    }
  }

  /// Whether the expression matches `path`.
  public func matches(_ path: String) -> Bool {
    let bytes = Array(path.utf8)
    var current: [Int] = []
    var seen = [Bool](repeating: false, count: program.count)
    follow(0, at: 0, of: bytes.count, &current, &seen)
    for (position, byte) in bytes.enumerated() {
      var next: [Int] = []
      seen = [Bool](repeating: false, count: program.count)
      for state in current {
        if case .byte(let set) = program[state], set.contains(byte) {
          follow(state + 1, at: position + 1, of: bytes.count, &next, &seen)
        }
      }
      current = next
      if current.isEmpty { return false }
    }
    return current.contains { program[$0] == .accept }
  }

  /// Adds the steps that are reached from `start` without reading a byte.
  private func follow(
    _ start: Int, at position: Int, of count: Int, _ states: inout [Int], _ seen: inout [Bool]
  ) {
    var pending = [start]
    while let state = pending.popLast() {
      guard !seen[state] else { continue }
      seen[state] = true
      switch program[state] {
      case .byte, .accept: states.append(state)
      case .jump(let target): pending.append(target)
      case .either(let first, let second): pending += [second, first]
      case .start: if position == 0 { pending.append(state + 1) }
      case .end: if position == count { pending.append(state + 1) }
      }
    }
  }
}

/// An expression that is not understood.
public struct ModulePatternError: Error, Sendable, CustomStringConvertible {
  /// The expression.
  public let source: String
  /// What is wrong with it, as the end of a sentence.
  public let problem: String

  public var description: String { "the pattern \(source.debugDescription) \(problem)" }
}

/// Values by patterns of module paths, in the order in which they are tried.
public struct ModuleValues<Value: Sendable & Hashable>: Sendable, Hashable {
  /// A pattern with its value.
  public struct Entry: Sendable, Hashable {
    /// Which modules.
    public let pattern: ModulePattern
    /// Their value.
    public let value: Value
  }

  /// The patterns in order.
  public private(set) var entries: [Entry] = []

  /// No pattern.
  public init() {}

  /// Adds a pattern behind those that are there.
  public mutating func append(_ pattern: ModulePattern, _ value: Value) {
    entries.append(Entry(pattern: pattern, value: value))
  }

  /// The same patterns with other values.
  public func mapValues<Other>(_ body: (Value) -> Other) -> ModuleValues<Other> {
    var result = ModuleValues<Other>()
    for entry in entries { result.append(entry.pattern, body(entry.value)) }
    return result
  }

  /// The value of the first pattern that matches.
  public func value(for path: String) -> Value? {
    entries.first { $0.pattern.matches(path) }?.value
  }
}
