// `qwen-sft evaluate`: loss, perplexity and accuracy on a file.

import ArgumentParser
import Files
import OrderedJSON
import SFT
import Tensor

/// Loss, perplexity and token accuracy on a data file.
struct Evaluate: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Measures loss, perplexity and token accuracy on conversations.")

  @OptionGroup var model: ModelOptions
  @OptionGroup var adapter: AdapterOptions
  @OptionGroup var data: DataOptions
  @OptionGroup var encoding: EncodingOptions
  @OptionGroup var precision: PrecisionOptions
  @OptionGroup var common: CommonOptions

  @Flag(help: "Print one JSON value.")
  var json = false

  @Option(
    help: ArgumentHelp(
      "Write a JSON array a row: the log-probability of each trained token.", valueName: "file"))
  var logprobs: String?

  mutating func run() throws {
    let device = try common.start()
    let folder = try model.folder()
    let adapterFolder = try adapter.folder(isOffline: model.offline)
    let paths = try data.paths()
    let encoder = try encoding.encoder(folder: folder)
    var rows: [EncodedRow] = []
    var openCount = 0
    try forEachBatch(ofRowsIn: paths, format: data.dataFormat) { batch in
      // A row that trains nothing, such as a question without an answer, counts as a row without a token.
      let conversations = try batch.map { try $0.conversation.get().validatedForRendering() }
      for encoded in try encoder.encode(conversations.map(encoding.prepared)) {
        let row = encoded.row
        if encoded.isLastTurnOpen { openCount += 1 }
        rows.append(
          try data.maxSeqLength.map { try row.truncated(to: $0, .keepStart) ?? row } ?? row)
      }
    }
    if openCount > 0 { TrainingData.noteOpenTurns(openCount) }
    let network = try Session.model(
      folder, adapter: adapterFolder, precision: precision, for: .evaluation, on: device)
    let file = try logprobs.map { try AtomicFile(path: $0) }
    let result = try Evaluator(model: network, on: device).evaluate(rows) { _, values in
      try file?.write(JSON.array(values.map { .number($0) }).serialized() + "\n")
    }
    try file?.commit()
    if result.trainedTokenCount == 0 {
      Diagnostics.notice(
        "none of the \(rows.count) rows has a trained token: the loss says nothing")
    }
    try print(result)
  }

  private func print(_ result: Evaluation) throws {
    if json {
      // Means of no token are no numbers.
      let object = JSONObject(
        result.values.map { key, value in
          if key == "eval_trained_tokens" { return (key, .integer(Int(value))) }
          return (key, result.trainedTokenCount == 0 ? .null : .number(value))
        })
      try StandardOutput.write(line: JSON.object(object).serialized())
    } else {
      try StandardOutput.write(
        line:
          "loss \(fixed(result.loss, digits: 4)), perplexity \(fixed(result.perplexity, digits: 3)), "
          + "token accuracy \(fixed(100 * result.meanTokenAccuracy, digits: 2)) %, "
          + "\(result.trainedTokenCount) trained tokens")
    }
  }
}
