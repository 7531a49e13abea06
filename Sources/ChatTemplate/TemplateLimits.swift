// Bounds on what a template may consume, and the counters that enforce them. A template is untrusted
// input: whatever it says, rendering ends in bounded time and memory with a thrown error.

/// Bounds on one rendering; the defaults are far above what real chat templates need.
public struct TemplateLimits: Sendable {
  /// Evaluated nodes, loop iterations and units of work inside operations, whatever the input.
  public var steps = 20_000_000
  /// Steps for an input of nothing; with those for its bytes at most ``steps``.
  public var stepsOfNothing = 1_000_000
  /// Steps more for each byte of the input.
  public var stepsPerInputByte = 64
  /// Bytes of the rendered text.
  public var outputBytes = 128 << 20
  /// Bytes of all strings and lists made while rendering, added up.
  public var allocatedBytes = 1 << 30
  /// Depth of nested evaluations (expressions, statements, macro calls).
  public var evaluationDepth = 600
  /// Depth of nested macro calls.
  public var callDepth = 100
  /// Depth of lists inside lists.
  public var nesting = 120
  /// Bits of an integer.
  public var integerBits = 1 << 16

  /// The default bounds.
  public init() {}

  /// Items of `range()`; the bound of Jinja's sandbox.
  static let range = 100_000
  /// Nesting of the source: blocks, parentheses, operator chains.
  static let sourceDepth = 150
  /// Bytes of the template's source.
  static let sourceBytes = 8 << 20
}

/// Counts down what one rendering may still use.
struct Budget {
  let limits: TemplateLimits
  private var steps: Int
  private var maximumSteps: Int
  private var bytes: Int

  init(_ limits: TemplateLimits) {
    self.limits = limits
    steps = limits.steps
    maximumSteps = limits.steps
    bytes = limits.allocatedBytes
  }

  /// Takes `count` units of work.
  @inline(__always)
  mutating func step(_ count: Int = 1) throws(Fault) {
    steps &-= count
    if steps < 0 { throw Fault.limit("steps", maximumSteps) }
  }

  /// Bounds the work by what there is to render. Nothing but the input has been allocated by now.
  mutating func boundStepsByInput() {
    let input = limits.allocatedBytes - bytes
    let (product, isLarge) = input.multipliedReportingOverflow(by: limits.stepsPerInputByte)
    let (sum, isLarger) = limits.stepsOfNothing.addingReportingOverflow(product)
    if isLarge || isLarger || sum >= limits.steps { return }
    maximumSteps = sum
    steps = min(steps, sum)
  }

  /// Takes the right to make a string or list of `count` bytes, and the work of filling it.
  mutating func allocate(_ count: Int) throws(Fault) {
    guard count >= 0, count <= bytes else {
      throw Fault.limit("bytes of strings and lists", limits.allocatedBytes)
    }
    bytes -= count
    try step(count >> 5 + 1)
  }

  /// Takes the right to make a list of `count` values.
  mutating func allocateItems(_ count: Int) throws(Fault) {
    guard count >= 0, count <= limits.allocatedBytes / 64 else {
      throw Fault.limit("bytes of strings and lists", limits.allocatedBytes)
    }
    try allocate(count * 64 + 64)
  }
}
