// Where a run is reported to.

import ArgumentParser

/// A kind of report.
enum ReportTarget: String, Sendable, CaseIterable {
  /// metrics.jsonl.
  case jsonl
  /// report.html.
  case html
  /// TensorBoard's event files.
  case tensorboard

  /// What is written without the option.
  static let defaults: Set<ReportTarget> = [.jsonl, .html]

  /// The targets that the words of `--report_to` name, with commas or spaces between them; the defaults where there is none.
  static func targets(_ words: [String]) throws(ValidationError) -> Set<ReportTarget> {
    let names = words.flatMap { $0.split { $0 == "," || $0 == " " }.map { $0.lowercased() } }
    if names.isEmpty { return defaults }
    if names == ["all"] { return Set(allCases) }
    if names == ["none"] { return [] }
    var targets: Set<ReportTarget> = []
    for name in names {
      guard let target = ReportTarget(rawValue: name) else {
        throw ValidationError(
          "--report_to: expected jsonl, html and tensorboard, or all, or none, found \(name)")
      }
      targets.insert(target)
    }
    return targets
  }
}
