// The command: which operations to time, how often, and in which form to report. It measures and asserts nothing.

import ArgumentParser
@preconcurrency import Glibc
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

  @Option(
    help:
      "Where: cpu, cuda, cuda:1, cuda-plain (without NVIDIA's libraries), cuda-exact (buffers without slack), or emulated, the GPU's stand-ins."
  )
  var device = "cpu"

  @Option(help: "Tokens of a step.")
  var tokens = 512

  @Flag(help: "On a GPU, compute low-rank parts by themselves instead of with their product.")
  var separateLowRank = false

  @Option(help: "Folder that keeps compiled kernels.")
  var kernelCache: String?

  @Flag(
    help: "Compare every operation and gradient with its oracle on the device, and time nothing.")
  var check = false

  @Option(help: "With --check, the number of the first check.")
  var from = 1

  @Flag(help: "With --check, print the number and the name of each check before it is run.")
  var verbose = false

  @Flag(help: "Write JSON instead of a table.")
  var json = false

  func validate() throws {
    guard seconds > 0 else { throw ValidationError("--seconds must be above 0, got \(seconds)") }
    for (name, value) in [("threads", threads ?? 1), ("tokens", tokens), ("from", from)]
    where value < 1 {
      throw ValidationError("--\(name) must be at least 1, got \(value)")
    }
  }

  /// Opens the devices, and says on standard error what they lack.
  private func open() throws -> [Device] {
    try TestDevices.named(
      device, cacheFolder: kernelCache, leastSaving: separateLowRank ? Int.max : check ? 1 : nil
    ) { fputs("tensor-bench: \($0)\n", stderr) }
  }

  /// Prints what differs from its oracle and how many agree; exits with 1 where something differs or nothing was checked.
  private func checkOperations() throws {
    var hasDifference = false
    for (index, opened) in try open().enumerated() {
      var conformance = Conformance(filter: filter)
      let total = conformance.count
      conformance.run(
        on: opened, from: from, reopening: { try open()[index] },
        beginning: { if verbose { print("\($0)/\(total): \($1)") } }
      ) { print($0) }
      let count = conformance.agreeing + conformance.differing
      print("\(opened.name): \(conformance.agreeing) of \(count) checks agree")
      if !conformance.agrees { hasDifference = true }
    }
    if hasDifference { throw ExitCode.failure }
  }

  func run() throws {
    // What was measured or checked before a crash has been written then.
    setvbuf(stdout, nil, _IOLBF, 0)
    if let threads {
      Workers.count = threads
      OpenBLAS.setThreadCount(threads)
    }
    if check { return try checkOperations() }
    let device = try open()[0]
    let limits = try Limits.measure(seconds: seconds, dtype: dtype.dtype, on: device)
    var report = Report(limits: limits, threads: Workers.count, blas: OpenBLAS.kernelName)
    if !json { print(report.heading) }
    for model in model {
      for benchmark in model.benchmarks(tokens: tokens, on: device)
      where filter.map({ benchmark.name.contains($0) }) ?? true {
        guard benchmark.dtypes.contains(dtype.dtype) else { continue }
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
