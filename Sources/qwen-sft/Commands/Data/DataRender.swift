// `qwen-sft data render`: the text of each row, byte for byte that of `apply_chat_template`.

import ArgumentParser
import Hub
import OrderedJSON
import SFT

/// Prints the rendered rows, a JSON string a line.
struct DataRender: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "render", abstract: "Prints each row as the chat template renders it.")

  @OptionGroup var model: ModelOptions
  @OptionGroup var data: DataOptions
  @OptionGroup var encoding: EncodingOptions

  @Flag(help: "End each text with the header of an assistant turn.")
  var addGenerationPrompt = false

  @OptionGroup var common: CommonOptions

  mutating func run() throws {
    try common.startWithoutDevice()
    let encoder = try encoding.encoder(folder: model.folder(.tokenizer))
    let (encoding, addsPrompt) = (encoding, addGenerationPrompt)
    try forEachBatch(ofRowsIn: try data.paths(), format: data.dataFormat) { rows in
      let (texts, failure) = parallelPrefix(rows) { row in
        let conversation = encoding.prepared(try row.conversation.get().validatedForRendering())
        let text = try encoder.text(of: conversation, addGenerationPrompt: addsPrompt)
        return JSON.string(text).serializedBytes()
      }
      for text in texts { try StandardOutput.write(text + [0x0A]) }
      if let failure { throw failure }
    }
  }
}
