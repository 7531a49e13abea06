// --warmup_steps, which is a number of steps or a share of all of them.

import ArgumentParser

/// How long the learning rate warms up: transformers' `warmup_steps`.
enum WarmupLength: ExpressibleByArgument, CustomStringConvertible {
  /// So many steps.
  case steps(Int)
  /// A share of all steps, rounded up.
  case share(Double)

  /// Numbers out of range are kept: ``settings(besides:)`` names the option.
  init?(argument: String) {
    if let count = Int(argument) {
      self = .steps(count)
    } else if let value = Double(argument) {
      self = Int(exactly: value).map { .steps($0) } ?? .share(value)
    } else {
      return nil
    }
  }

  var description: String {
    switch self {
    case .steps(let count): "\(count)"
    case .share(let share): "\(share)"
    }
  }

  /// The settings of a run; `ratio` is that of --warmup_ratio.
  func settings(besides ratio: Double) throws -> (steps: Int, ratio: Double) {
    switch self {
    case .steps(let count): return (count, ratio)
    case .share(let share):
      guard share > 0, share < 1 else {
        throw ValidationError(
          "--warmup_steps: expected 0 or more, or a share of all steps below 1, found \(share)")
      }
      guard ratio == 0 else {
        throw ValidationError(
          "--warmup_steps: expected a number of steps beside --warmup_ratio, found the share \(share)"
        )
      }
      return (0, share)
    }
  }
}
