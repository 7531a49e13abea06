// `qwen-sft verify-resume`: does a run that is killed here end with the same bits?

import ArgumentParser
import Files
import OrderedJSON

/// Kills and resumes a short run on this machine and compares the bits.
struct VerifyResume: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Kills and resumes a short run on this machine and compares the bits.",
    discussion: """
      Takes the options of train. Unless told otherwise the run has 8 steps with a checkpoint and a log entry after \
      each.
      """)

  @OptionGroup(title: "Model") var model: ModelOptions
  @OptionGroup(title: "Model") var adapter: AdapterOptions
  @OptionGroup(title: "Data") var data: DataOptions
  @OptionGroup(title: "Data") var encoding: EncodingOptions
  @OptionGroup(title: "Adapter") var lora: LoRAOptions
  @OptionGroup(title: "Training") var options: TrainOptions
  @OptionGroup(title: "Training") var precision: PrecisionOptions
  @OptionGroup var common: CommonOptions

  @Option(help: ArgumentHelp("Kills (SIGKILL) at random moments.", valueName: "n"))
  var kills = 5

  @Flag(help: "Print one JSON value.")
  var json = false

  mutating func validate() throws {
    if !(1...100_000).contains(kills) {
      throw ValidationError("--kills: expected 1 or more, found \(kills)")
    }
  }

  mutating func run() throws {
    guard let expansion = RecipeExpansion.current else { return }
    let command = expansion.command
    var values = command.values(of: Array(expansion.arguments.dropFirst(expansion.path.count)))
    for name in ["kills", "json", "config", "output-dir", "resume-from-checkpoint"] {
      values[name] = nil
    }
    for (name, value) in [("max-steps", "8"), ("save-steps", "1"), ("logging-steps", "1")]
    where values[name] == nil {
      values[name] = [value]
    }
    let folder = try options.outputDir ?? temporaryFolder()
    do throws(FileError) { try FileSystem.makeFolder(folder) } catch { throw CLIError.file(error) }
    defer { if options.outputDir == nil { try? FileSystem.remove(folder) } }
    let trial = ResumeTrial(command.arguments(of: values), in: folder) { Diagnostics.notice($0) }
    try trial.run(kills: kills)
    let passed = trial.checks.allSatisfy(\.passed)
    if json {
      try StandardOutput.write(line: report(trial.checks, passed).serialized())
    } else {
      try StandardOutput.write(
        line: passed
          ? "\(kills) kills: every run ended with the same bits"
          : "not every run ended as it should")
    }
    if !passed { throw ExitCode.failure }
  }

  private func report(_ checks: [ResumeTrial.Check], _ passed: Bool) -> JSON {
    let values: [JSON] = checks.map { check in
      ["name": .string(check.name), "passed": .bool(check.passed), "detail": .string(check.detail)]
    }
    return ["passed": .bool(passed), "kills": .integer(kills), "checks": .array(values)]
  }

  private func temporaryFolder() throws -> String {
    let parent = Environment.current["TMPDIR"] ?? "/tmp"
    return FileSystem.join(
      parent, "qwen-sft-verify-" + String(UInt64.random(in: 0...UInt64.max), radix: 16))
  }
}
