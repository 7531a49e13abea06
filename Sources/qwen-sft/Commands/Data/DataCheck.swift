// `qwen-sft data check`: what a file holds and what is wrong with it, before a run finds out.

import ArgumentParser
import OrderedJSON
import SFT

/// Counts rows, turns and tokens, and names every faulty row.
struct DataCheck: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "check", abstract: "Counts rows and tokens and names every faulty row.",
    discussion: "The exit code is 1 if any row is unusable. Rows with warnings are usable.")

  @OptionGroup var model: ModelOptions
  @OptionGroup var data: DataOptions
  @OptionGroup var encoding: EncodingOptions

  @Flag(help: "Print one JSON value.")
  var json = false

  @OptionGroup var common: CommonOptions

  mutating func run() throws {
    _ = try common.start()
    let checker = CheckedRow.Checker(
      encoder: try encoding.encoder(folder: model.folder()), encoding: encoding,
      maximumLength: data.maxSeqLength)
    var report = DataReport(maximumLength: data.maxSeqLength)
    try forEachBatch(ofRowsIn: try data.paths(), format: data.dataFormat) { rows in
      let results = parallelMap(rows) { row in
        Result { () throws(DataError) in try CheckedRow(row, checker) }
      }
      for result in results { report.add(try result.get()) }
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
