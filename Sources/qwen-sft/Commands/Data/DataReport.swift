// The figures of `data check`: counting only. Rows are read and encoded elsewhere.

package import OrderedJSON
import SFT

/// What is known about the rows of a data set.
package struct DataReport: Sendable {
  /// A row that something is wrong with.
  package struct Fault: Sendable, CustomStringConvertible {
    /// The file.
    package let file: String
    /// The line on which the row begins, from 1.
    package let line: Int
    /// What is wrong.
    package let problem: String
    /// Whether the row can be trained on all the same.
    package let isUsable: Bool

    /// "data.jsonl:7: no assistant turn".
    package var description: String { "\(file):\(line): \(problem)" }
  }

  /// Rows, usable or not.
  package private(set) var rowCount = 0
  /// Rows that cannot be trained on.
  package private(set) var unusableCount = 0
  /// Rows that were there before.
  package private(set) var duplicateCount = 0
  /// Messages of the usable rows, and those of the assistant.
  package private(set) var (turnCount, assistantTurnCount) = (0, 0)
  /// Tokens of the usable rows, uncut, and those that are trained.
  package private(set) var (tokenCount, trainedTokenCount) = (0, 0)
  /// Rows that are longer than allowed, and those of which nothing trained would be left.
  package private(set) var (overCount, cutOffCount) = (0, 0)
  /// The faults, in order; of very many the first.
  package private(set) var faults: [Fault] = []
  /// All faults.
  package private(set) var faultCount = 0
  /// The first row that cannot be trained on.
  package private(set) var firstUnusable: Fault?

  private let maximumLength: Int?
  private var lengths: [Int] = []
  private var placeOfRow: [Digest: (file: String, line: Int)] = [:]

  /// Two independent 64-bit digests that stand for a row: files may be larger than memory.
  private struct Digest: Hashable {
    let first, second: Int

    init(_ conversation: Conversation) {
      func digest(_ salt: Int) -> Int {
        var hasher = Hasher()
        hasher.combine(salt)
        hasher.combine(conversation)
        return hasher.finalize()
      }
      (first, second) = (digest(0), digest(1))
    }
  }

  /// The most faults that are kept.
  private static let maximumFaultCount = 10_000

  /// A report on no rows, with the length that rows should not exceed.
  package init(maximumLength: Int? = nil) { self.maximumLength = maximumLength }

  /// Counts a row that is none.
  package mutating func addUnusable(file: String, line: Int, problem: String) {
    rowCount += 1
    unusableCount += 1
    note(Fault(file: file, line: line, problem: problem, isUsable: false))
  }

  private mutating func note(_ fault: Fault) {
    faultCount += 1
    if faults.count < Self.maximumFaultCount { faults.append(fault) }
    if firstUnusable == nil, !fault.isUsable { firstUnusable = fault }
  }

  /// Counts a row that is none.
  mutating func addUnusable(_ fault: DataFault) {
    addUnusable(file: fault.file, line: fault.line, problem: fault.problem.description)
  }

  /// Counts a row with its encoding, uncut.
  mutating func add(_ conversation: Conversation, _ encoded: ConversationEncoder.Encoded) {
    let row = encoded.row
    let trainedCount = row.trainedTokenCount
    guard trainedCount > 0 else {
      addUnusable(
        DataFault(
          file: row.file, line: row.line,
          problem: .nothingTrained(tokenCount: row.inputIDs.count)))
      return
    }
    rowCount += 1
    turnCount += conversation.messages.count
    assistantTurnCount += conversation.messages.count { $0["role"]?.stringValue == "assistant" }
    tokenCount += row.inputIDs.count
    trainedTokenCount += trainedCount
    lengths.append(row.inputIDs.count)
    if let maximumLength, row.inputIDs.count > maximumLength {
      overCount += 1
      if row.labels.prefix(maximumLength).dropFirst().allSatisfy({ $0 == EncodedRow.ignoredLabel })
      {
        cutOffCount += 1
      }
    }
    noteDuplicate(conversation)
  }

  private mutating func noteDuplicate(_ conversation: Conversation) {
    let key = Digest(conversation)
    guard let earlier = placeOfRow[key] else {
      placeOfRow[key] = (conversation.file, conversation.line)
      return
    }
    duplicateCount += 1
    let problem = RowProblem.duplicate(file: earlier.file, line: earlier.line)
    note(
      Fault(
        file: conversation.file, line: conversation.line, problem: problem.description,
        isUsable: true))
  }

  /// The length that `percent` of the rows do not exceed (nearest rank); 0 without rows.
  static func percentile(_ percent: Int, of sorted: [Int]) -> Int {
    guard !sorted.isEmpty else { return 0 }
    let rank = (sorted.count * percent + 99) / 100
    return sorted[min(max(rank, 1), sorted.count) - 1]
  }

  private static let percents = [5, 25, 50, 75, 90, 95, 99]

  /// The report as one JSON value.
  package var json: JSON {
    let sorted = lengths.sorted()
    var length: JSONObject = ["min": .integer(sorted.first ?? 0)]
    for percent in Self.percents {
      length["p\(percent)"] = .integer(Self.percentile(percent, of: sorted))
    }
    length["max"] = .integer(sorted.last ?? 0)
    length["mean"] = .number(sorted.isEmpty ? 0 : Double(tokenCount) / Double(sorted.count))
    return [
      "rows": .integer(rowCount), "usable_rows": .integer(rowCount - unusableCount),
      "turns": .integer(turnCount), "assistant_turns": .integer(assistantTurnCount),
      "tokens": .integer(tokenCount), "trained_tokens": .integer(trainedTokenCount),
      "length": .object(length), "max_seq_length": maximumLength.map(JSON.integer) ?? .null,
      "rows_over": .integer(overCount), "rows_cut_off": .integer(cutOffCount),
      "duplicate_rows": .integer(duplicateCount), "fault_count": .integer(faultCount),
      "faults": .array(
        faults.map {
          [
            "file": .string($0.file), "line": .integer($0.line), "problem": .string($0.problem),
            "usable": .bool($0.isUsable),
          ]
        }),
    ]
  }

  /// The report as lines, with the first faults.
  package var table: String {
    let sorted = lengths.sorted()
    let share = tokenCount == 0 ? 0 : 100 * Double(trainedTokenCount) / Double(tokenCount)
    let spread = [50, 90, 95, 99].map { "\($0) % ≤ \(Self.percentile($0, of: sorted))" }
    var lines = [
      "rows            \(rowCount), \(rowCount - unusableCount) usable",
      "turns           \(turnCount), \(assistantTurnCount) of the assistant",
      "tokens          \(tokenCount)",
      "trained tokens  \(trainedTokenCount) (\(fixed(share, digits: 1)) %)",
      "length          \(sorted.first ?? 0) to \(sorted.last ?? 0), \(spread.joined(separator: ", "))",
    ]
    if let maximumLength {
      lines.append(
        "over \(maximumLength)".padded(to: 16)
          + "\(overCount) rows, \(cutOffCount) of them with nothing trained left")
    }
    lines.append("duplicates      \(duplicateCount)")
    let shown = (faults.filter { !$0.isUsable } + faults.filter(\.isUsable)).prefix(50)
    if !shown.isEmpty { lines.append("faults          \(faultCount)") }
    lines += shown.map { "  " + Diagnostics.oneLine($0.description) }
    if faultCount > shown.count { lines.append("  … and \(faultCount - shown.count) more") }
    return lines.joined(separator: "\n") + "\n"
  }
}

extension String {
  /// The text with spaces after it, at least `count` columns wide, one a scalar.
  func padded(to count: Int) -> String {
    self + String(repeating: " ", count: max(1, count - unicodeScalars.count))
  }
}
