// Which rows. What is done with them is the data layer's business.

public import ArgumentParser
public import SFT

extension DataFormat: ExpressibleByArgument {}

/// `--data` and what belongs to it.
struct DataOptions: ParsableArguments {
  @Option(
    name: [.customLong("data"), .customLong("data-path")],
    help: ArgumentHelp(
      "JSONL or JSON file of rows, also gzipped; several may follow (default: the sample data).",
      valueName: "file"))
  var data: [String] = []

  @Option(help: ArgumentHelp("Form of the rows.", valueName: "form"))
  var dataFormat = DataFormat.auto

  @Option(
    name: [.customLong("max-seq-length"), .customLong("max-length")],
    help: ArgumentHelp(
      "Longest row in tokens (default: \(TrainingConfig.defaults.maxSeqLength) in training, else no limit).",
      valueName: "tokens"))
  var maxSeqLength: Int?

  mutating func validate() throws {
    if let maxSeqLength, !TrainingConfig.maxSeqLengths.contains(maxSeqLength) {
      let range = TrainingConfig.maxSeqLengths
      throw ValidationError(
        "--max_seq_length: expected \(range.lowerBound) to \(range.upperBound), found \(maxSeqLength)"
      )
    }
  }

  /// The files; without `--data` the sample data, said on standard error.
  func paths() throws(CLIError) -> [String] {
    if !data.isEmpty { return data }
    let path = try DemoFiles.samplePath()
    Diagnostics.notice("no --data: using the sample data (\(path))")
    return [path]
  }
}
