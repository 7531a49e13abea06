// The figures of `data check`: counting only. Rows are read and encoded elsewhere. What is kept grows with the
// number of rows by what SeenRows keeps, and by nothing else.

import Files
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
    /// What is wrong; nil where the file cannot be read on.
    let problem: RowProblem?
    /// Why the file cannot be read on.
    var damage = ""

    /// Whether the row can be trained on all the same.
    var isUsable: Bool { problem?.isUsable ?? false }
    /// The kind of the fault as a word for programs.
    var kind: String { problem?.kind ?? "unreadable_file" }

    /// "data.jsonl:7: no assistant turn … (add the answer, or remove the row)".
    var description: String {
      "\(file):\(line): \(problem?.text ?? "\(damage); the rest was not read")"
    }
  }

  /// Rows, usable or not.
  private(set) var rowCount = 0
  /// Rows that cannot be trained on.
  private(set) var unusableCount = 0
  /// Messages of the usable rows, and those of the assistant.
  private(set) var (turnCount, assistantTurnCount) = (0, 0)
  /// Tokens of the usable rows, uncut, and those that are trained.
  private(set) var (tokenCount, trainedTokenCount) = (0, 0)
  /// The rows whose last turn the template left open.
  private(set) var openTurnCount = 0
  /// Faults and warnings, in order; of very many the first.
  private(set) var faults: [Fault] = []
  /// The faults that make rows unusable, and those that do not.
  private(set) var (faultCount, warningCount) = (0, 0)
  /// Why the files were not read to their end.
  private(set) var damage: DataError?
  /// How often each kind of fault or warning was met.
  private(set) var countOfKind: [String: Int] = [:]
  /// The first row that cannot be trained on.
  private(set) var firstUnusable: Fault?

  private let maximumLength: Int?
  /// How many rows have each length.
  private var countOfLength: [Int: Int] = [:]
  private var seenRows = SeenRows()
  /// The kinds of warnings among `countOfKind`.
  private var kindsOfWarnings: Set<String> = []
  /// The place of the last row.
  private var lastPlace = (file: "", line: 0)

  /// The most faults that are kept.
  private static let maximumFaultCount = 100_000
  /// The most faults of a kind that the table shows.
  private static let shownFaultCount = 50

  /// A report on no rows, with the length that rows should not exceed.
  init(maximumLength: Int? = nil) { self.maximumLength = maximumLength }

  /// Counts a row.
  mutating func add(_ row: CheckedRow) {
    rowCount += 1
    lastPlace = (row.file, row.line)
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
    if counts.isLastTurnOpen { openTurnCount += 1 }
    if let first = seenRows.firstPlace(counts.digest, file: row.file, line: row.line) {
      let problem = RowProblem.duplicate(file: first.file, line: first.line)
      note(Fault(file: row.file, line: row.line, problem: problem))
    }
  }

  /// Notes that the files cannot be read on.
  mutating func add(damage: DataError) {
    self.damage = damage
    switch damage {
    case .file(let error):
      let line = error.line ?? (error.path == lastPlace.file ? lastPlace.line + 1 : 1)
      note(Fault(file: error.path, line: line, problem: nil, damage: error.problem))
    case .badArray(let file, let message, let line, let column):
      let words = "bad JSON: \(message), column \(column)"
      note(Fault(file: file, line: line, problem: nil, damage: words))
    default: break
    }
  }

  private mutating func note(_ fault: Fault) {
    if fault.isUsable {
      warningCount += 1
      kindsOfWarnings.insert(fault.kind)
    } else {
      faultCount += 1
    }
    countOfKind[fault.kind, default: 0] += 1
    if faults.count < Self.maximumFaultCount { faults.append(fault) }
    if firstUnusable == nil, !fault.isUsable { firstUnusable = fault }
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
    func kinds(_ areWarnings: Bool) -> JSON {
      let kinds = countOfKind.filter { kindsOfWarnings.contains($0.key) == areWarnings }
        .sorted { $0.key < $1.key }
      return .object(JSONObject(kinds.map { ($0.key, JSON.integer($0.value)) }))
    }
    return [
      "rows": .integer(rowCount), "usable_rows": .integer(rowCount - unusableCount),
      "turns": .integer(turnCount), "assistant_turns": .integer(assistantTurnCount),
      "tokens": .integer(tokenCount), "trained_tokens": .integer(trainedTokenCount),
      "length": .object(length), "max_seq_length": maximumLength.map(JSON.integer) ?? .null,
      "rows_over": .integer(overCount), "rows_cut_off": .integer(cutOffCount),
      "duplicate_rows": .integer(duplicateCount), "open_turns": .integer(openTurnCount),
      "is_whole": .bool(damage == nil), "fault_count": .integer(faultCount),
      "warning_count": .integer(warningCount), "fault_kinds": kinds(false),
      "warning_kinds": kinds(true),
      "faults": .array(
        faults.map { fault in
          [
            "file": .string(fault.file), "line": .integer(fault.line),
            "kind": .string(fault.kind),
            "problem": .string(fault.problem?.description ?? fault.damage),
            "advice": fault.problem?.advice.map(JSON.string) ?? .null,
            "usable": .bool(fault.isUsable),
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
    lines += section("faults", faults.filter { !$0.isUsable })
    lines += section("warnings", faults.filter(\.isUsable))
    return lines.joined(separator: "\n") + "\n"
  }

  private func section(_ title: String, _ faults: [Fault]) -> [String] {
    if faults.isEmpty { return [] }
    var shownOfKind: [String: Int] = [:]
    var lines: [String] = []
    for fault in faults {
      shownOfKind[fault.kind, default: 0] += 1
      guard (shownOfKind[fault.kind] ?? 0) <= Self.shownFaultCount else { continue }
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
