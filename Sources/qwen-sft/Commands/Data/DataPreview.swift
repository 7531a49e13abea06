// `qwen-sft data preview`: a row as the model sees it, with the trained part marked.

import ArgumentParser
import Files
import Hub
import SFT

/// Shows a row with the trained text coloured.
struct DataPreview: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "preview", abstract: "Shows a row with the trained text coloured.")

  @OptionGroup var model: ModelOptions
  @OptionGroup var data: DataOptions
  @OptionGroup var encoding: EncodingOptions

  @Option(
    help: ArgumentHelp("The row, from 0 (default: 0; with --html: the first 50).", valueName: "i"))
  var index: Int?

  @Option(help: ArgumentHelp("Write a page instead.", valueName: "file"))
  var html: String?

  @OptionGroup var common: CommonOptions

  mutating func validate() throws {
    if let index, !(0..<Int.max).contains(index) {
      throw ValidationError("--index: expected 0 or more, found \(index)")
    }
  }

  mutating func run() throws {
    try common.startWithoutDevice()
    let encoder = try encoding.encoder(folder: model.folder(.tokenizer))
    let paths = try data.paths()
    let range = index.map { $0..<$0 + 1 } ?? (0..<(html == nil ? 1 : 50))
    let rows = try previews(of: range, paths, encoder)
    guard let html else {
      for row in rows {
        try StandardOutput.write(row.text(isColoured: StandardOutput.isTerminal))
      }
      return
    }
    try AtomicFile.write(PreviewPage.html(rows), to: html)
    Diagnostics.notice("\(rows.count) rows written to \(html)")
  }

  private func previews(of range: Range<Int>, _ paths: [String], _ encoder: ConversationEncoder)
    throws -> [RowPreview]
  {
    let reader = ConversationReader(paths: paths, format: data.dataFormat)
    var previews: [RowPreview] = []
    var position = 0
    while position < range.upperBound, let row = try reader.next() {
      defer { position += 1 }
      guard range.contains(position) else { continue }
      let encoded = try encoder.encode(encoding.prepared(try row.conversation.get())).row
      let cut = try data.maxSeqLength.map { try encoded.truncated(to: $0, .keepStart) } ?? encoded
      previews.append(RowPreview(cut ?? encoded, index: position, tokenizer: encoder.tokenizer))
    }
    guard !previews.isEmpty else {
      if position == 0 { throw DataError.noRows(files: paths) }
      throw CLIError.argument(
        option: "index", problem: "expected 0 to \(position - 1), found \(range.lowerBound)")
    }
    return previews
  }
}
