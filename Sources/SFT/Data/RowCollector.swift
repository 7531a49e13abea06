// What becomes of encoded rows on their way into a run: cut, dropped, counted.

/// Collects the rows of a run.
struct RowCollector {
  /// The rows that are kept.
  private(set) var rows: [EncodedRow] = []
  private var report = ConversationEncoder.Report()
  private let maximumLength: Int?
  private let truncation: Truncation

  /// A collector that cuts rows to `maximumLength`.
  init(maximumLength: Int?, truncation: Truncation) {
    (self.maximumLength, self.truncation) = (maximumLength, truncation)
  }

  /// Adds a conversation's row.
  mutating func add(_ encoded: ConversationEncoder.Encoded) throws(DataError) {
    if encoded.isLastTurnOpen { report.openTurns += 1 }
    if encoded.hasGenerationBlocks { report.withGenerationBlocks += 1 }
    try add(encoded.row)
  }

  /// Adds a row.
  ///
  /// - Throws: ``DataError`` where it trains nothing although uncut, or is too long with ``Truncation/error``.
  mutating func add(_ row: EncodedRow) throws(DataError) {
    report.rowCount += 1
    guard row.trainedTokenCount > 0 else {
      let problem = RowProblem.nothingTrained(tokenCount: row.inputIDs.count)
      throw .fault(DataFault(file: row.file, line: row.line, problem: problem))
    }
    var kept = row
    if let maximumLength {
      guard let cut = try row.truncated(to: maximumLength, truncation) else {
        report.droppedTooLong += 1
        return
      }
      guard cut.trainedTokenCount > 0 else {
        report.droppedCutOff += 1
        return
      }
      if cut.inputIDs.count < row.inputIDs.count { report.truncated += 1 }
      kept = cut
    }
    report.tokenCount += kept.inputIDs.count
    report.trainedTokenCount += kept.trainedTokenCount
    rows.append(kept)
  }

  /// The rows and what became of the others.
  ///
  /// - Throws: ``DataError/nothingLeft(droppedRowCount:maximumLength:)`` where no row is left.
  func result() throws(DataError) -> (rows: [EncodedRow], report: ConversationEncoder.Report) {
    if rows.isEmpty {
      throw .nothingLeft(droppedRowCount: report.rowCount, maximumLength: maximumLength)
    }
    return (rows, report)
  }
}
