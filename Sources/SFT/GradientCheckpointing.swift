// What a run keeps between forward and backward, as its user says it.

/// How activations are kept. The result is the same, to the bit, whatever is chosen.
public enum GradientCheckpointing: Sendable, Hashable {
  /// Blocks keep everything.
  case off
  /// Blocks keep their inputs and are run again in backward, but for those that raise no peak.
  case full
  /// Blocks keep what fits: `memoryBudget` bytes for the whole process.
  case auto(memoryBudget: Int)

  /// The name on the command line.
  public var name: String {
    switch self {
    case .off: "off"
    case .full: "full"
    case .auto: "auto"
    }
  }
}
