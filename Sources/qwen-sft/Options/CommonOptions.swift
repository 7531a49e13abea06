// What every command takes.

import ArgumentParser
import Tensor

/// Threads, device and log level.
struct CommonOptions: ParsableArguments {
  @Option(help: ArgumentHelp("Threads to compute with (default: all processors).", valueName: "n"))
  var numThreads: Int?

  @Option(help: ArgumentHelp("Where to compute: auto, cpu, cuda or cuda:1.", valueName: "device"))
  var device: DeviceOption = .auto

  @Option(
    help: ArgumentHelp(
      "YAML or JSON recipe of options by their names; the command line wins.", valueName: "file"))
  var config: String?

  @Flag(help: "Show log lines below warning too.")
  var verbose = false

  /// The range of `--num_threads`.
  static let threadCounts = 1...1024

  mutating func validate() throws {
    if let numThreads, !Self.threadCounts.contains(numThreads) {
      throw ValidationError(
        "--num_threads: expected \(Self.threadCounts.lowerBound) to \(Self.threadCounts.upperBound), "
          + "found \(numThreads)")
    }
  }

  /// Starts logging, sets the number of threads and opens the device: the first call of every command that computes.
  func start() throws(CLIError) -> Device {
    Diagnostics.startLogging(isVerbose: verbose)
    let device = try device.device()
    setThreadCount()
    return device
  }

  /// The same for a command that computes nothing: a device is opened only to say that it is not there.
  func startWithoutDevice() throws(CLIError) {
    Diagnostics.startLogging(isVerbose: verbose)
    try device.check()
    setThreadCount()
  }

  private func setThreadCount() {
    if let numThreads {
      Workers.count = numThreads
      OpenBLAS.setThreadCount(numThreads)
    }
  }
}
