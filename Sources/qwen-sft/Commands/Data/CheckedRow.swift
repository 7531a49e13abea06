// A row as `data check` sees it: all that is wrong with it, and what it counts for. Counting is in DataReport.

import OrderedJSON
import SFT

/// What is known about one row.
struct CheckedRow: Sendable {
  /// What a row that can be trained on counts for.
  struct Counts: Sendable {
    /// Messages, and those of the assistant.
    var (turns, assistantTurns) = (0, 0)
    /// Tokens, uncut, and those that are trained.
    var (tokens, trainedTokens) = (0, 0)
    /// A keyed digest that stands for the row: files may be larger than memory.
    var digest: UInt64 = 0
    /// Whether the template left the last turn open.
    var isLastTurnOpen = false
  }

  /// The file.
  let file: String
  /// The line on which the row begins, from 1.
  let line: Int
  /// All that is wrong or odd.
  var problems: [RowProblem] = []
  /// What the row counts for; nil where it cannot be trained on.
  var counts: Counts?

  /// Whether the row can be trained on.
  var isUsable: Bool { problems.allSatisfy(\.isUsable) }

  /// A row with its problems.
  init(file: String, line: Int, problems: [RowProblem] = []) {
    (self.file, self.line, self.problems) = (file, line, problems)
  }
}

extension CheckedRow {
  /// What checks rows.
  struct Checker: Sendable {
    let encoder: ConversationEncoder
    let encoding: EncodingOptions
    let inspector: RowInspector
    let maximumLength: Int?

    init(encoder: ConversationEncoder, encoding: EncodingOptions, maximumLength: Int?) {
      (self.encoder, self.encoding, self.maximumLength) = (encoder, encoding, maximumLength)
      inspector = RowInspector(tokenizer: encoder.tokenizer)
    }
  }

  /// The row as `checker` finds it.
  ///
  /// - Throws: ``DataError`` where the fault is not the row's.
  init(_ row: ConversationReader.Row, _ checker: Checker) throws(DataError) {
    self.init(file: row.file, line: row.line, problems: row.warnings)
    let conversation: Conversation
    switch row.conversation {
    case .failure(let fault):
      problems.append(fault.problem)
      return
    case .success(let found): conversation = found
    }
    let faults = conversation.problems
    guard faults.isEmpty else {
      problems += faults
      return
    }
    let prepared = checker.encoding.prepared(conversation)
    let encoded: ConversationEncoder.Encoded
    do throws(DataError) {
      encoded = try checker.encoder.encode(prepared)
    } catch {
      switch error {
      case .rendering(_, _, let problem): problems.append(.notRendered(problem: problem))
      case .fault(let fault): problems.append(fault.problem)
      default: throw error
      }
      return
    }
    let tokenCount = encoded.row.inputIDs.count
    guard encoded.row.trainedTokenCount > 0 else {
      problems.append(.nothingTrained(tokenCount: tokenCount))
      return
    }
    problems += checker.encoder.emptiedTurns(of: prepared)
    problems += checker.encoder.leftOutContents(of: prepared)
    problems += checker.inspector.warnings(of: conversation)
    if let text = encoded.mergedBoundary { problems.append(.mergedBoundary(text: text)) }
    if let maximum = checker.maximumLength, tokenCount > maximum {
      let kept = encoded.row.labels.prefix(maximum).dropFirst()
      problems.append(
        kept.allSatisfy { $0 == EncodedRow.ignoredLabel }
          ? .cutOff(tokenCount: tokenCount, maximumLength: maximum)
          : .tooLong(tokenCount: tokenCount, maximumLength: maximum))
    }
    var counts = Counts()
    counts.turns = conversation.messages.count
    counts.assistantTurns = conversation.messages.count { $0["role"]?.stringValue == "assistant" }
    counts.tokens = tokenCount
    counts.trainedTokens = encoded.row.trainedTokenCount
    // The hasher's key is this process's own, so that no file can be made to collide.
    var hasher = Hasher()
    hasher.combine(conversation)
    counts.digest = UInt64(bitPattern: Int64(hasher.finalize()))
    counts.isLastTurnOpen = encoded.isLastTurnOpen
    self.counts = counts
  }
}
