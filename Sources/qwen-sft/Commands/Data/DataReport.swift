// The figures of `data check`: counting only. Rows are read and encoded elsewhere. What is kept grows with the
// number of rows by a digest each, and by nothing else.

import OrderedJSON
import SFT

/// What is known about the rows of a data set.
struct DataReport: Sendable {
  /// Something that is wrong with a row.
  struct Fault: Sendable, CustomStringConvertible {
    /// The file.
    let file: String
    /// The line on which the row begins, from 1.
    let line: Int
    /// What is wrong.
    let problem: RowProblem

    /// "data.jsonl:7: no assistant turn … (add the answer, or remove the row)".
    var description: String { "\(file):\(line): \(problem.text)" }
  }

  /// Rows, usable or not.
  private(set) var rowCount = 0
  /// Rows that cannot be trained on.
  private(set) var unusableCount = 0
  /// Messages of the usable rows, and those of the assistant.
  private(set) var (turnCount, assistantTurnCount) = (0, 0)
  /// Tokens of the usable rows, uncut, and those that are trained.
  private(set) var (tokenCount, trainedTokenCount) = (0, 0)
  /// The faults, in order; of very many the first.
  private(set) var faults: [Fault] = []
  /// All faults.
  private(set) var faultCount = 0
  /// How often each kind of fault was met.
  private(set) var countOfKind: [String: Int] = [:]
  /// The first row that cannot be trained on.
  private(set) var firstUnusable: Fault?

  private let maximumLength: Int?
  /// How many rows have each length.
  private var countOfLength: [Int: Int] = [:]
  private var placeOfRow: [CheckedRow.Digest: Place] = [:]
  private var files: [String] = []

  /// A row's place in little space.
  private struct Place {
    let file: UInt32
    let line: UInt32
  }

  /// The most faults that are kept.
  private static let maximumFaultCount = 100_000
  /// The most faults of a kind that the table shows.
  private static let shownFaultCount = 50

  /// A report on no rows, with the length that rows should not exceed.
  init(maximumLength: Int? = nil) { self.maximumLength = maximumLength }

  /// Counts a row.
  mutating func add(_ row: CheckedRow) {
    rowCount += 1
    for problem in row.problems {
      note(Fault(file: row.file, line: row.line, problem: problem))
    }
    guard row.isUsable, let counts = row.counts else {
      unusableCount += 1
      return
    }
    turnCount += counts.turns
    assistantTurnCount += counts.assistantTurns
    tokenCount += counts.tokens
    trainedTokenCount += counts.trainedTokens
    countOfLength[counts.tokens, default: 0] += 1
    noteDuplicate(row, counts.digest)
  }

  private mutating func note(_ fault: Fault) {
    faultCount += 1
    countOfKind[fault.problem.kind, default: 0] += 1
    if faults.count < Self.maximumFaultCount { faults.append(fault) }
    if firstUnusable == nil, !fault.problem.isUsable { firstUnusable = fault }
  }

  private mutating func noteDuplicate(_ row: CheckedRow, _ digest: CheckedRow.Digest) {
    if let earlier = placeOfRow[digest] {
      let problem = RowProblem.duplicate(file: files[Int(earlier.file)], line: Int(earlier.line))
      note(Fault(file: row.file, line: row.line, problem: problem))
      return
    }
    if files.last?.utf8.elementsEqual(row.file.utf8) != true { files.append(row.file) }
    placeOfRow[digest] = Place(
      file: UInt32(clamping: files.count - 1), line: UInt32(clamping: row.line))
  }

  /// Rows that were there before.
  var duplicateCount: Int { countOfKind["duplicate"] ?? 0 }
  /// Rows of which nothing trained would be left.
  private var cutOffCount: Int { countOfKind["cut_off"] ?? 0 }
  /// Rows that are longer than allowed.
  private var overCount: Int { (countOfKind["too_long"] ?? 0) + cutOffCount }

  // MARK: Lengths

  /// The lengths of the usable rows.
  private struct Lengths {
    let sorted: [(length: Int, count: Int)]
    let count: Int

    init(_ counts: [Int: Int]) {
      sorted = counts.sorted { $0.key < $1.key }.map { (length: $0.key, count: $0.value) }
      count = counts.values.reduce(0, +)
    }

    /// The length that `percent` of the rows do not exceed (nearest rank); 0 without rows.
    func percentile(_ percent: Int) -> Int {
      let rank = max(1, (count * percent + 99) / 100)
      var seen = 0
      for (length, count) in sorted {
        seen += count
        if seen >= rank { return length }
      }
      return 0
    }
  }

  private static let percents = [5, 25, 50, 75, 90, 95, 99]

  // MARK: Output

  /// The report as one JSON value.
  var json: JSON {
    let lengths = Lengths(countOfLength)
    var length: JSONObject = ["min": .integer(lengths.sorted.first?.length ?? 0)]
    for percent in Self.percents { length["p\(percent)"] = .integer(lengths.percentile(percent)) }
    length["max"] = .integer(lengths.sorted.last?.length ?? 0)
    length["mean"] = .number(lengths.count == 0 ? 0 : Double(tokenCount) / Double(lengths.count))
    let kinds = countOfKind.sorted { $0.key < $1.key }.map { ($0.key, JSON.integer($0.value)) }
    return [
      "rows": .integer(rowCount), "usable_rows": .integer(rowCount - unusableCount),
      "turns": .integer(turnCount), "assistant_turns": .integer(assistantTurnCount),
      "tokens": .integer(tokenCount), "trained_tokens": .integer(trainedTokenCount),
      "length": .object(length), "max_seq_length": maximumLength.map(JSON.integer) ?? .null,
      "rows_over": .integer(overCount), "rows_cut_off": .integer(cutOffCount),
      "duplicate_rows": .integer(duplicateCount), "fault_count": .integer(faultCount),
      "fault_kinds": .object(JSONObject(kinds)),
      "faults": .array(
        faults.map { fault in
          [
            "file": .string(fault.file), "line": .integer(fault.line),
            "kind": .string(fault.problem.kind), "problem": .string(fault.problem.description),
            "advice": fault.problem.advice.map(JSON.string) ?? .null,
            "usable": .bool(fault.problem.isUsable),
          ]
        }),
    ]
  }

  /// The report as lines: the figures, then the faults, those that make rows unusable first.
  var table: String {
    let lengths = Lengths(countOfLength)
    let share = tokenCount == 0 ? 0 : 100 * Double(trainedTokenCount) / Double(tokenCount)
    let spread = [50, 90, 95, 99].map { "\($0) % ≤ \(lengths.percentile($0))" }
    let (shortest, longest) = (lengths.sorted.first?.length ?? 0, lengths.sorted.last?.length ?? 0)
    var lines = [
      "rows            \(rowCount), \(rowCount - unusableCount) usable",
      "turns           \(turnCount), \(assistantTurnCount) of the assistant",
      "tokens          \(tokenCount)",
      "trained tokens  \(trainedTokenCount) (\(fixed(share, digits: 1)) %)",
      "length          \(shortest) to \(longest), \(spread.joined(separator: ", "))",
    ]
    if let maximumLength {
      lines.append(
        "over \(maximumLength)".padded(to: 16)
          + "\(overCount) rows, \(cutOffCount) of them with nothing trained left")
    }
    lines.append("duplicates      \(duplicateCount)")
    lines += section("faults", faults.filter { !$0.problem.isUsable })
    lines += section("warnings", faults.filter(\.problem.isUsable))
    return lines.joined(separator: "\n") + "\n"
  }

  private func section(_ title: String, _ faults: [Fault]) -> [String] {
    if faults.isEmpty { return [] }
    var shownOfKind: [String: Int] = [:]
    var lines: [String] = []
    for fault in faults {
      shownOfKind[fault.problem.kind, default: 0] += 1
      guard (shownOfKind[fault.problem.kind] ?? 0) <= Self.shownFaultCount else { continue }
      lines.append("  " + Diagnostics.oneLine(fault.description))
    }
    for kind in shownOfKind.keys.sorted() {
      let rest = (countOfKind[kind] ?? 0) - Self.shownFaultCount
      if rest > 0 { lines.append("  … and \(rest) more of the kind \(kind) (--json tells them)") }
    }
    let count = shownOfKind.keys.reduce(0) { $0 + (countOfKind[$1] ?? 0) }
    return [title.padded(to: 16) + "\(count)"] + lines
  }
}

extension String {
  /// The text with spaces after it, at least `count` columns wide, one a scalar.
  func padded(to count: Int) -> String {
    self + String(repeating: " ", count: max(1, count - unicodeScalars.count))
  }
}
