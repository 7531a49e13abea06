// `qwen-sft convert-adapter`: adapters between PEFT and mlx-lm.

import ArgumentParser
import Export
import Files
import Hub

extension AdapterFolder.Form: ExpressibleByArgument {}

/// Writes an adapter in the form of another program.
struct ConvertAdapter: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "convert-adapter", abstract: "Converts an adapter between PEFT and mlx-lm.")

  @Option(
    name: [
      .customLong("adapter"), .customLong("adapter-name-or-path"), .customLong("adapter-dir"),
    ], help: ArgumentHelp("Folder of the adapter, of PEFT's or mlx-lm's form.", valueName: "dir"))
  var adapter: String

  @Option(help: ArgumentHelp("The form to write.", valueName: "form"))
  var to: AdapterFolder.Form

  @Option(help: ArgumentHelp("Folder for the result.", valueName: "dir"))
  var outputDir: String

  @OptionGroup var common: CommonOptions

  mutating func run() throws {
    try common.startWithoutDevice()
    let path = try ModelLocation.current.folder(of: adapter, need: .adapter)
    let folder = try AdapterFolder(path)
    guard folder.form != to else {
      throw CLIError.argument(option: "to", problem: "\(adapter) has this form already")
    }
    for note in try AdapterConversion(folder).write(to: outputDir) { Diagnostics.notice(note) }
    Diagnostics.notice("\(outputDir): written in the form of \(to == .mlx ? "mlx-lm" : "PEFT")")
  }
}
