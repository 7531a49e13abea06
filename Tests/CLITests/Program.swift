// Runs the program that was built beside the tests, as a shell would.

import Foundation

/// The program and a folder of its own to work in.
struct Program {
  /// What a run left behind.
  struct Outcome {
    /// The exit code; 128 + the signal's number where a signal ended it.
    let code: Int32
    /// Standard output.
    let output: String
    /// Standard error.
    let errors: String

    /// Lines of standard error.
    var errorLines: [String] { errors.split(separator: "\n").map(String.init) }
    /// The lines of standard error that are errors.
    var faults: [String] { errorLines.filter { $0.hasPrefix("qwen-sft: error: ") } }
  }

  /// A folder that goes with the value.
  let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  /// The folder that the test binary was built in.
  static var buildFolder: URL {
    URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath().deletingLastPathComponent()
  }

  /// The root of the package.
  static let packageRoot = URL(fileURLWithPath: #filePath)
    .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

  private static var executable: URL {
    let beside = buildFolder.appendingPathComponent("qwen-sft")
    if FileManager.default.isExecutableFile(atPath: beside.path) { return beside }
    return packageRoot.appendingPathComponent(".build/release/qwen-sft")
  }

  /// Runs the program with `arguments`, `input` on standard input and its caches in the folder.
  func run(
    _ arguments: [String], input: String = "", environment: [String: String] = [:],
    executable: URL? = nil
  ) throws -> Outcome {
    let name = UUID().uuidString
    let (inputFile, outputFile) = (folder.url("\(name).in"), folder.url("\(name).out"))
    let errorFile = folder.url("\(name).err")
    try Data(input.utf8).write(to: inputFile)
    for file in [outputFile, errorFile] { try Data().write(to: file) }
    let process = process(arguments, environment: environment)
    if let executable { process.executableURL = executable }
    process.standardInput = try FileHandle(forReadingFrom: inputFile)
    process.standardOutput = try FileHandle(forWritingTo: outputFile)
    process.standardError = try FileHandle(forWritingTo: errorFile)
    try process.run()
    process.waitUntilExit()
    let signal: Int32 = process.terminationReason == .uncaughtSignal ? 128 : 0
    return Outcome(
      code: signal + process.terminationStatus,
      output: String(decoding: try Data(contentsOf: outputFile), as: UTF8.self),
      errors: String(decoding: try Data(contentsOf: errorFile), as: UTF8.self))
  }

  /// The program with `arguments`, its caches in the folder, not yet run.
  func process(_ arguments: [String], environment: [String: String] = [:]) -> Process {
    let process = Process()
    process.executableURL = Self.executable
    process.arguments = arguments
    process.currentDirectoryURL = folder.url
    let own = ["HOME": folder.url.path, "XDG_CACHE_HOME": folder.url("cache").path]
    process.environment = own.merging(environment) { $1 }
    return process
  }

  /// The path of the program.
  static var executablePath: String { executable.path }

  /// Runs `line` in a shell.
  func run(shell line: String) throws -> Outcome {
    try run(["-c", line], executable: URL(fileURLWithPath: "/bin/bash"))
  }

  /// Runs the words of `line`.
  func run(_ line: String, input: String = "", environment: [String: String] = [:]) throws
    -> Outcome
  {
    try run(
      line.split(separator: " ").map(String.init), input: input, environment: environment)
  }
}

/// A folder that goes with the value.
final class TemporaryFolder {
  /// The folder.
  let url: URL

  init() throws {
    url = FileManager.default.temporaryDirectory
      .appendingPathComponent("qwen-sft-tests-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
  }

  deinit { try? FileManager.default.removeItem(at: url) }

  /// The path of `name` in the folder.
  func url(_ name: String) -> URL { url.appendingPathComponent(name) }

  /// Writes a file, with the folders it needs.
  @discardableResult
  func write(_ text: String, to name: String) throws -> String {
    let file = url(name)
    try FileManager.default.createDirectory(
      at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
    try Data(text.utf8).write(to: file)
    return file.path
  }

  /// Copies a file or folder of the package.
  @discardableResult
  func copy(_ path: String, to name: String) throws -> URL {
    let target = url(name)
    try FileManager.default.createDirectory(
      at: target.deletingLastPathComponent(), withIntermediateDirectories: true)
    try FileManager.default.copyItem(
      at: Program.packageRoot.appendingPathComponent(path), to: target)
    return target
  }
}
