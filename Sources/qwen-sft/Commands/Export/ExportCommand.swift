// `qwen-sft export …`: models in the files of other programs.

import ArgumentParser

/// The forms of files.
struct ExportCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "export", abstract: "Writes a model, or an adapter, for other programs.",
    subcommands: [ExportGGUF.self])
}
