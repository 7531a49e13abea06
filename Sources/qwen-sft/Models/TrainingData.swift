// Rows for training, with a word on what was left out.

import SFT

/// Reading and encoding training data.
enum TrainingData {
  /// Says that `count` rows got the end of their last turn appended.
  static func noteOpenTurns(_ count: Int) {
    Diagnostics.notice(
      "the chat template leaves the last assistant turn open in \(count) rows: "
        + "<|im_end|> was appended and is trained")
  }

  /// The rows of `paths` as the model of `encoder` sees them, and what became of the others.
  static func rows(
    _ encoder: ConversationEncoder, paths: [String], format: DataFormat,
    encoding: EncodingOptions, config: TrainingConfig
  ) throws -> (rows: [EncodedRow], report: ConversationEncoder.Report) {
    let conversations = try ConversationReader.readAll(paths, format: format).map(encoding.prepared)
    let emptiedCount = conversations.count { !encoder.emptiedTurns(of: $0).isEmpty }
    if emptiedCount > 0 {
      Diagnostics.notice(
        "\(emptiedCount) rows have trained turns that are empty without their reasoning "
          + "(data check names them)")
    }
    let leftOutCount = conversations.count { !encoder.leftOutContents(of: $0).isEmpty }
    if leftOutCount > 0 {
      Diagnostics.notice(
        "\(leftOutCount) rows have content in parts that the chat template leaves out "
          + "(data check names them)")
    }
    let (rows, report) = try encoder.trainingRows(
      conversations, maximumLength: config.maxSeqLength,
      truncation: config.truncation)
    if report.openTurns > 0 { noteOpenTurns(report.openTurns) }
    for (count, reason) in [
      (report.droppedTooLong, "longer than"),
      (report.droppedCutOff, "nothing trained is within"),
    ] where count > 0 {
      Diagnostics.notice(
        "\(count) of \(report.rowCount) rows were dropped: \(reason) --max_seq_length \(config.maxSeqLength)"
      )
    }
    if report.truncated > 0 {
      Diagnostics.notice(
        "\(report.truncated) of \(report.rowCount) rows were cut to --max_seq_length \(config.maxSeqLength)"
      )
    }
    return (rows, report)
  }
}
