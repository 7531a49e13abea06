// `--gradient_checkpointing` and `--memory_budget`.

import ArgumentParser
import SFT
import Tensor

/// What blocks keep for backward.
enum CheckpointingMode: String, ExpressibleByArgument {
  /// Their inputs alone, everything, or what fits.
  case full, off, auto

  /// Truth values are taken too, as transformers takes them.
  init?(argument: String) {
    switch argument.lowercased() {
    case "full", "true", "yes", "1": self = .full
    case "off", "false", "no", "0": self = .off
    case "auto": self = .auto
    default: return nil
    }
  }

  /// A plan counts in this machine's memory, so that what fits on a GPU is found when a run begins there.
  static func validatePlan(_ mode: CheckpointingMode?, on device: Device) throws {
    if mode == .auto && device.freeByteCount != nil {
      throw ValidationError(
        "--gradient_checkpointing: expected full or off for a plan on \(device.name), found auto (--device cpu plans it for this machine)"
      )
    }
  }

  /// The setting that `mode` and `budget` ask for; without a budget `auto` takes what the memory of `device` can spare.
  static func resolved(_ mode: CheckpointingMode?, budget: MemorySize?, on device: Device) throws
    -> GradientCheckpointing
  {
    if let budget, mode != .auto {
      throw ValidationError(
        "--memory_budget: expected --gradient_checkpointing auto with it, found \(mode?.rawValue ?? "none") and \(memoryText(budget.byteCount))"
      )
    }
    switch mode {
    case .full?: return .full
    case .auto?:
      return .auto(memoryBudget: budget?.byteCount ?? spareByteCount(on: device))
    case .off?, nil: return .off
    }
  }

  /// Bytes that this program may hold in the memory of `device`: what it has and nine tenths of what is free.
  private static func spareByteCount(on device: Device) -> Int {
    // Memory that waits is given back first.
    device.limitMemory(to: Int.max)
    return device.freeByteCount.map { device.memory.reservedByteCount + $0 / 10 * 9 }
      ?? MemoryInformation.spareByteCount
  }
}

extension MemoryInformation {
  /// Bytes that this process may hold in all: what it has and nine tenths of what is free. Without word from the system
  /// there is no limit.
  static var spareByteCount: Int {
    guard let available = current().available else { return Int.max / 2 }
    return ProcessMemory.residentByteCount + available / 10 * 9
  }
}
