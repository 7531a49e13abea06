// The one place that knows which devices there are. Everything below it gets a Device and asks nothing.

import ArgumentParser
import Tensor

/// Where to compute: `auto`, `cpu`, `cuda` or `cuda:1`.
enum DeviceOption: Hashable, ExpressibleByArgument {
  /// The best there is.
  case auto
  /// The processor.
  case cpu
  /// An NVIDIA GPU by its number.
  case cuda(Int)

  /// The option of its text, nil where it is none.
  init?(argument: String) {
    switch argument {
    case "auto": self = .auto
    case "cpu": self = .cpu
    case "cuda": self = .cuda(0)
    default:
      let prefix = "cuda:"
      guard argument.utf8.starts(with: prefix.utf8),
        let number = Int(
          String(decoding: argument.utf8.dropFirst(prefix.utf8.count), as: UTF8.self)),
        number >= 0
      else { return nil }
      self = .cuda(number)
    }
  }

  static var allValueStrings: [String] { ["auto", "cpu", "cuda"] }

  /// Why there is no CUDA here.
  static let cudaUnavailability =
    "CUDA is not available: this version of qwen-sft computes on the CPU only"

  /// The device itself.
  ///
  /// - Throws: ``CLIError/device(name:reason:)`` where there is none such.
  func device() throws(CLIError) -> Device {
    switch self {
    case .auto, .cpu: return .cpu
    case .cuda(let number):
      throw .device(name: "cuda:\(number)", reason: "\(Self.cudaUnavailability) (use --device cpu)")
    }
  }
}
