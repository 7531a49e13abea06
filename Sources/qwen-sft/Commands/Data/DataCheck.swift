// `qwen-sft data check`: what a file holds and what is wrong with it, before a run finds out.

import ArgumentParser
import OrderedJSON
import SFT

/// Counts rows, turns and tokens, and names every faulty row.
struct DataCheck: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "check", abstract: "Counts rows and tokens and names every faulty row.",
    discussion: "The exit code is 1 if any row is unusable. Duplicates are named, and usable.")

  @OptionGroup var model: ModelOptions
  @OptionGroup var data: DataOptions
  @OptionGroup var encoding: EncodingOptions

  @Flag(help: "Print one JSON value.")
  var json = false

  @OptionGroup var common: CommonOptions

  mutating func run() throws {
    _ = try common.start()
    let encoder = try encoding.encoder(folder: model.folder())
    let encoding = encoding
    var report = DataReport(maximumLength: data.maxSeqLength)
    try forEachBatch(ofRowsIn: try data.paths(), isValidating: true) { rows in
      let results = parallelMap(rows) { row in
        row.conversation.map { conversation in
          let result = Result { () throws(DataError) in
            try encoder.encode(encoding.prepared(conversation))
          }
          return (conversation, result)
        }
      }
      for result in results {
        switch result {
        case .failure(let fault): report.addUnusable(fault)
        case .success((let conversation, .success(let encoded))):
          report.add(conversation, encoded)
        case .success((_, .failure(.rendering(let file, let line, let problem)))):
          report.addUnusable(file: file, line: line, problem: "chat template: \(problem)")
        case .success((_, .failure(let error))): throw error
        }
      }
    }
    if json {
      try StandardOutput.write(line: report.json.serialized())
    } else {
      try StandardOutput.write(report.table)
    }
    if let first = report.firstUnusable {
      throw CLIError.unusableRows(
        count: report.unusableCount, of: report.rowCount, first: first.description)
    }
  }
}
