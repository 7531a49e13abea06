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

  @OptionGroup var source: AdapterFolderOptions

  @Option(help: ArgumentHelp("The form to write.", valueName: "form"))
  var to: AdapterFolder.Form

  @Option(help: ArgumentHelp("Folder for the result.", valueName: "dir"))
  var outputDir: String

  @Flag(help: "Replace a folder that is there.")
  var overwriteOutputDir = false

  @OptionGroup var common: CommonOptions

  mutating func run() throws {
    try common.startWithoutDevice()
    let path = try source.folder()
    let folder = try AdapterFolder(path)
    guard folder.form != to else {
      throw CLIError.argument(option: "to", problem: "\(source.adapter) has this form already")
    }
    let place = try OutputFolder(outputDir, isReplacing: overwriteOutputDir, apartFrom: [path])
    let publication = try place.publication()
    let notes = try AdapterConversion(folder).write(to: publication.temporaryPath)
    try publication.publish(replacing: place.replaces)
    for note in notes { Diagnostics.notice(note) }
    Diagnostics.notice("\(outputDir): written in the form of \(to == .mlx ? "mlx-lm" : "PEFT")")
  }
}
