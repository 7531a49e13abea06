// The command: which operations to time, how often, and in which form to report. It measures and asserts nothing.

import ArgumentParser
import Tensor
import TensorTestSupport

@main
struct TensorBench: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "tensor-bench",
    abstract: "Times tensor operations, and draws what was measured of whole steps.",
    subcommands: [Operations.self, Plot.self], defaultSubcommand: Operations.self)
}

/// Times operations.
struct Operations: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract:
      "Times tensor operations at the shapes of Qwen models, beside limits of this machine.",
    discussion: """
      Every operation is compared with a limit measured in the same run: products with the best plain product in \
      the element type, products with few rows with the bandwidth of a plain read loop, the rest with that of a copy.
      """)

  @Option(
    help:
      "Models whose shapes are used (\(Model.allCases.map(\.rawValue).joined(separator: ", "))).")
  var model: [Model] = Model.allCases

  @Option(help: "Only operations whose name contains this text.")
  var filter: String?

  @Option(help: "Least time spent on an operation.")
  var seconds = 0.5

  @Option(help: "Element type (float32 or bfloat16).")
  var dtype: ElementType = .float32

  @Option(help: "Threads; the processors of this machine when left out.")
  var threads: Int?

  @Option(help: "Where: cpu, cuda, cuda:1, or emulated, the GPU's stand-ins.")
  var device = "cpu"

  @Flag(
    help: "Compare every operation and gradient with its oracle on the device, and time nothing.")
  var check = false

  @Flag(help: "Write JSON instead of a table.")
  var json = false

  func validate() throws {
    guard seconds > 0 else { throw ValidationError("--seconds must be above 0, got \(seconds)") }
    if let threads, threads < 1 {
      throw ValidationError("--threads must be at least 1, got \(threads)")
    }
  }

  /// Prints what differs from its oracle and how many agree; exits with 1 where something differs or nothing was checked.
  private func checkOperations() throws {
    var hasDifference = false
    for (index, opened) in try TestDevices.named(device).enumerated() {
      var conformance = Conformance(filter: filter)
      conformance.run(on: opened, reopening: { try TestDevices.named(device)[index] }) { print($0) }
      let count = conformance.agreeing + conformance.differing
      print("\(opened.name): \(conformance.agreeing) of \(count) checks agree")
      if !conformance.agrees { hasDifference = true }
    }
    if hasDifference { throw ExitCode.failure }
  }

  func run() throws {
    if let threads {
      Workers.count = threads
      OpenBLAS.setThreadCount(threads)
    }
    if check { return try checkOperations() }
    let device = try TestDevices.named(device)[0]
    let limits = try Limits.measure(seconds: seconds, dtype: dtype.dtype, on: device)
    var report = Report(limits: limits, threads: Workers.count, blas: OpenBLAS.kernelName)
    if !json { print(report.heading) }
    for model in model {
      for benchmark in model.benchmarks where filter.map({ benchmark.op.name.contains($0) }) ?? true
      {
        guard benchmark.op.dtypes.contains(dtype.dtype) else { continue }
        let line = try Report.Line(
          model: model.rawValue, benchmark: benchmark, dtype: dtype.dtype, seconds: seconds,
          limits: limits, on: device)
        report.lines.append(line)
        if !json { print(line.text) }
      }
    }
    if json { print(try report.json) }
  }
}

/// Element types that can be timed.
enum ElementType: String, ExpressibleByArgument, CaseIterable {
  case float32, bfloat16

  var dtype: DType { self == .float32 ? .float32 : .bfloat16 }
}
