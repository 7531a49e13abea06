// `qwen-sft check-adapter`: will another program take an adapter.

import ArgumentParser
import Export
import OrderedJSON
import Hub

extension AdapterConsumer: ExpressibleByArgument {}

/// Says whether PEFT, vLLM, llama.cpp or mlx-lm take an adapter, and why not.
struct CheckAdapter: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "check-adapter",
    abstract: "Says whether PEFT, vLLM, llama.cpp or mlx-lm take an adapter.")

  @OptionGroup var source: AdapterFolderOptions

  @Option(name: .customLong("for"), help: ArgumentHelp("Who is to take it.", valueName: "program"))
  var consumer: AdapterConsumer

  @Option(
    help: ArgumentHelp("What vLLM is started with (default: what it can be).", valueName: "n"))
  var maxLoraRank: Int?

  @Flag(help: "Print one JSON value.")
  var json = false

  @OptionGroup var common: CommonOptions

  mutating func run() throws {
    try common.startWithoutDevice()
    let folder = try AdapterFolder(source.folder())
    let verdict = AdapterVerdict(folder, for: consumer, maxLoRARank: maxLoraRank)
    if json {
      try StandardOutput.write(line: verdict.json.serialized())
    } else {
      let name = consumer.displayName
      try StandardOutput.write(
        line: verdict.isAccepted ? "\(name) takes it" : "\(name) does not take it")
      for problem in verdict.problems { try StandardOutput.write(line: "  problem: \(problem)") }
      for step in verdict.steps { try StandardOutput.write(line: "  to do: \(step)") }
      for note in verdict.notes { try StandardOutput.write(line: "  note: \(note)") }
    }
    if !verdict.isAccepted { throw ExitCode.failure }
  }
}
