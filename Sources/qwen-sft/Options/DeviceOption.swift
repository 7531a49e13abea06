// The one place that knows which devices there are. Everything below it gets a Device and asks nothing.

import ArgumentParser
import Files
import Tensor
import TensorCUDA

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
        number >= 0, argument == prefix + String(number)
      else { return nil }
      self = .cuda(number)
    }
  }

  static var allValueStrings: [String] { ["auto", "cpu", "cuda"] }

  /// The device itself. For `auto` that is the first GPU where CUDA works, else the processor.
  ///
  /// - Throws: ``CLIError/device(name:reason:)`` where there is none such.
  func device() throws(CLIError) -> Device {
    switch self {
    case .cpu: return .cpu
    case .auto:
      // Without a driver there is nothing to say; with one it is worth a line why the GPU is left idle.
      guard CUDALibrary.driver.open() != nil else { return .cpu }
      do { return try open(0) } catch {
        Diagnostics.notice("computing on the CPU: \(error)")
        return .cpu
      }
    case .cuda(let number): return try open(number)
    }
  }

  /// The error of a device that was asked for and is not there; for commands that do not compute.
  func check() throws(CLIError) {
    if case .cuda = self { _ = try device() }
  }

  private func open(_ number: Int) throws(CLIError) -> Device {
    do throws(DeviceError) {
      let folder = (try? Environment.current.cacheFolder()).map { FileSystem.join($0, "cuda") }
      return try CUDA.device(number, cacheFolder: folder) { Diagnostics.notice($0) }
    } catch {
      let reason =
        if case .unavailable(_, let reason) = error { reason } else { "\(error)" }
      throw .device(
        name: "cuda:\(number)", reason: "CUDA is not available: \(reason) (or use --device cpu)")
    }
  }
}
