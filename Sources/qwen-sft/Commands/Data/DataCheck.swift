// `qwen-sft data check`: what a file holds and what is wrong with it, before a run finds out.

import ArgumentParser
import Hub
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
    try common.startWithoutDevice()
    let checker = CheckedRow.Checker(
      encoder: try encoding.encoder(folder: model.folder(.tokenizer)), encoding: encoding,
      maximumLength: data.maxSeqLength)
    let report = try report(on: try data.paths(), checker)
    if report.openTurnCount > 0 { TrainingData.noteOpenTurns(report.openTurnCount) }
    if json {
      try StandardOutput.write(line: report.json.serialized())
    } else {
      try StandardOutput.write(report.table)
    }
    if let damage = report.damage { throw damage }
    if let first = report.firstUnusable {
      throw CLIError.unusableRows(
        count: report.unusableCount, of: report.rowCount, first: first.description)
    }
  }

  private func report(on paths: [String], _ checker: CheckedRow.Checker) throws -> DataReport {
    var report = DataReport(maximumLength: data.maxSeqLength)
    do {
      try forEachBatch(ofRowsIn: paths, format: data.dataFormat) { rows in
        let (checked, failure) = parallelPrefix(rows) {
          (row: ConversationReader.Row) throws(DataError) in try CheckedRow(row, checker)
        }
        for row in checked { report.add(row) }
        if let failure { throw failure }
      }
    } catch let error as DataError where error.isOfReading && report.rowCount > 0 {
      // The rows before the damage are worth a report.
      report.add(damage: error)
    }
    return report
  }
}
