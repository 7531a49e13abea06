// `qwen-sft data tokenize`: the ids and labels of each row.

import ArgumentParser
import Hub
import OrderedJSON
import SFT

/// Prints ids and labels, a JSON object a row.
struct DataTokenize: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "tokenize", abstract: "Prints the token ids and labels of each row.")

  @OptionGroup var model: ModelOptions
  @OptionGroup var data: DataOptions
  @OptionGroup var encoding: EncodingOptions

  @Option(help: ArgumentHelp("What happens to rows over --max_seq_length.", valueName: "rule"))
  var truncation = Truncation.keepStart

  @OptionGroup var common: CommonOptions

  mutating func run() throws {
    try common.startWithoutDevice()
    let encoder = try encoding.encoder(folder: model.folder(.tokenizer))
    let (encoding, truncation, maximum) = (encoding, truncation, data.maxSeqLength)
    var (droppedCount, openCount) = (0, 0)
    try forEachBatch(ofRowsIn: try data.paths(), format: data.dataFormat) { rows in
      let (lines, failure) = parallelPrefix(rows) {
        row -> (bytes: [UInt8]?, isLastTurnOpen: Bool) in
        let conversation = encoding.prepared(try row.conversation.get().validatedForRendering())
        let encoded = try encoder.encode(conversation)
        let row = encoded.row
        let cut = try maximum.map { try row.truncated(to: $0, truncation) } ?? row
        return (cut.map { $0.json.serializedBytes() }, encoded.isLastTurnOpen)
      }
      for (bytes, isLastTurnOpen) in lines {
        if isLastTurnOpen { openCount += 1 }
        if let bytes {
          try StandardOutput.write(bytes + [0x0A])
        } else {
          droppedCount += 1
        }
      }
      if let failure { throw failure }
    }
    if openCount > 0 { TrainingData.noteOpenTurns(openCount) }
    if droppedCount > 0 {
      Diagnostics.notice("\(droppedCount) rows over --max_seq_length left out")
    }
  }
}

extension EncodedRow {
  /// `{"input_ids": [...], "labels": [...]}`.
  var json: JSON {
    [
      "input_ids": .array(inputIDs.map { .integer(Int($0)) }),
      "labels": .array(labels.map { .integer(Int($0)) }),
    ]
  }
}
