// The rows on which exported models are compared with what they were made of.

import Export
import SFT

/// Rows for a comparison.
enum ExportRows {
  /// Tokens of a row that are looked at.
  private static let maximumLength = 512

  /// The first `count` rows of `data`, or of the sample data, with a trained token; none for a count of 0.
  static func rows(folder: String, data: DataOptions, count: Int) throws -> [EncodedRow] {
    guard count > 0 else { return [] }
    let encoder = try ConversationEncoder(folder: folder)
    var paths = data.data
    if paths.isEmpty {
      do { paths = [try DemoFiles.samplePath()] } catch {
        Diagnostics.notice("nothing is compared, as the sample data cannot be unpacked: \(error)")
        return []
      }
    }
    let reader = ConversationReader(
      paths: paths, format: data.dataFormat, isValidating: false)
    var rows: [EncodedRow] = []
    while rows.count < count, let row = try reader.next() {
      let conversation = try row.conversation.get().validatedForRendering()
      let whole = try encoder.encode(conversation).row
      let limit = data.maxSeqLength ?? maximumLength
      let cut = try whole.truncated(to: limit, .keepStart) ?? whole
      if cut.trainedTokenCount > 0 { rows.append(cut) }
    }
    return rows
  }

  /// How far the scores are from each other, as a line.
  static func logitText(_ comparison: ModelComparison) -> String {
    "change of the logits on \(comparison.tokenCount) tokens of \(comparison.rowCount) rows: "
      + "maximal \(short(comparison.maximalLogitChange)), mean \(short(comparison.meanLogitChange))"
  }

  /// How far the predictions are from each other, as a line.
  static func divergenceText(_ comparison: ModelComparison) -> String {
    "checked on \(comparison.tokenCount) tokens of \(comparison.rowCount) rows: "
      + "KL divergence mean \(short(comparison.meanDivergence)), maximal "
      + "\(short(comparison.maximalDivergence)); same first choice "
      + "\(fixed(100 * comparison.topAgreement, digits: 2)) %"
  }

  /// Three digits of a small number.
  static func short(_ value: Double) -> String {
    guard value.isFinite, value > 0 else { return "\(value == 0 ? "0" : "\(value)")" }
    if value >= 0.01 { return fixed(value, digits: 4) }
    var (mantissa, exponent) = (value, 0)
    while mantissa < 1 { (mantissa, exponent) = (mantissa * 10, exponent - 1) }
    return "\(fixed(mantissa, digits: 2))e\(exponent)"
  }
}
