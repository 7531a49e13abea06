// A row as the model sees it, and what a length limit does to it.

/// Token ids with labels, and the place they came from.
public struct EncodedRow: Sendable, Hashable {
  /// The label of a position that is not trained.
  public static let ignoredLabel: Int32 = -100

  /// The token ids [T].
  public let inputIDs: [Int32]
  /// For each token its id where it is trained, else −100 [T].
  public let labels: [Int32]
  /// The file of the row.
  public let file: String
  /// The line on which the row begins, from 1.
  public let line: Int

  /// A row of equally many ids and labels.
  public init(inputIDs: [Int32], labels: [Int32], file: String, line: Int) {
    precondition(
      inputIDs.count == labels.count,
      "EncodedRow: \(inputIDs.count) ids with \(labels.count) labels")
    (self.inputIDs, self.labels, self.file, self.line) = (inputIDs, labels, file, line)
  }

  /// The row of `ids`, trained where `isTrained` says so, at the place of `conversation`.
  init(_ ids: [Int32], isTrained: [Bool], _ conversation: Conversation) {
    self.init(
      inputIDs: ids, labels: zip(ids, isTrained).map { $1 ? $0 : Self.ignoredLabel },
      file: conversation.file, line: conversation.line)
  }

  /// The number of tokens that are learnt: those with a label, but the first, which nothing predicts.
  public var trainedTokenCount: Int {
    labels.dropFirst().reduce(0) { $0 + ($1 == Self.ignoredLabel ? 0 : 1) }
  }
}

/// What happens to a row that is longer than allowed.
public enum Truncation: String, Sendable, Hashable, CaseIterable {
  /// The end is cut off.
  case keepStart = "keep_start"
  /// The beginning is cut off.
  case keepEnd = "keep_end"
  /// The row is left out.
  case drop
  /// The run stops.
  case error
}

extension EncodedRow {
  /// The row within `maximumLength` tokens; nil when `truncation` drops it.
  ///
  /// - Throws: ``DataError/tooLong(file:line:tokenCount:maximumLength:)`` for ``Truncation/error``.
  public func truncated(to maximumLength: Int, _ truncation: Truncation) throws(DataError)
    -> EncodedRow?
  {
    guard inputIDs.count > maximumLength else { return self }
    let limit = max(0, maximumLength)
    switch truncation {
    case .keepStart:
      return EncodedRow(
        inputIDs: Array(inputIDs.prefix(limit)), labels: Array(labels.prefix(limit)), file: file,
        line: line)
    case .keepEnd:
      return EncodedRow(
        inputIDs: Array(inputIDs.suffix(limit)), labels: Array(labels.suffix(limit)), file: file,
        line: line)
    case .drop: return nil
    case .error:
      throw .tooLong(
        file: file, line: line, tokenCount: inputIDs.count, maximumLength: maximumLength)
    }
  }
}
