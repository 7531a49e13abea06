// What there is to say of a run before it begins: the model, the data, the settings. Reports and the model card say it.

import Files
import NN
import QwenModel
import Report
import SFT
import Tensor
import Tokenizer

/// A run in words.
struct RunDescription {
  /// The base model as it was named.
  var baseModel: String
  /// The adapter's settings; nil where all parameters are trained.
  var adapter: AdapterConfig?
  /// Whether the base is in 4 bits.
  var isQuantized = false
  /// The rows that are trained, with the tokenizer that reads them.
  var rows: [EncodedRow]
  var tokenizer: Tokenizer
  /// Facts of the data and of the machine.
  var data: [RunReport.Fact], environment: [RunReport.Fact]
  /// Every setting, as recipe.yaml has them.
  var recipe: [RunReport.Fact]
  /// The folder of the results.
  var outputDir: String

  /// What kind of training this is: "LoRA", "rsLoRA", "DoRA", "all parameters".
  var kind: String {
    guard let adapter else { return "all parameters" }
    return (adapter.useDoRA ? "DoRA" : adapter.useRSLoRA ? "rsLoRA" : "LoRA")
  }

  /// The title of a report.
  var title: String { "\(outputDir): \(kind) on \(baseModel)" }

  /// Facts of `rows` that came from `paths`.
  static func data(
    paths: [String], rows: [EncodedRow], evaluationRows: [EncodedRow],
    report: ConversationEncoder.Report
  ) -> [RunReport.Fact] {
    let tokens = rows.reduce(0) { $0 + $1.inputIDs.count }
    let trained = rows.reduce(0) { $0 + $1.trainedTokenCount }
    let lengths = rows.map(\.inputIDs.count).sorted()
    var facts = [
      RunReport.Fact("Files", paths.joined(separator: ", ")),
      RunReport.Fact("Rows read", grouped(report.rowCount)),
      RunReport.Fact("Rows trained", grouped(rows.count)),
    ]
    let dropped = report.droppedTooLong + report.droppedCutOff
    if dropped > 0 { facts.append(.init("Rows dropped", "\(grouped(dropped)), too long")) }
    if report.truncated > 0 { facts.append(.init("Rows cut", grouped(report.truncated))) }
    if !evaluationRows.isEmpty {
      facts.append(.init("Rows evaluated", grouped(evaluationRows.count)))
    }
    let share = tokens > 0 ? Double(trained) / Double(tokens) * 100 : 0
    facts.append(.init("Tokens an epoch", grouped(tokens)))
    facts.append(.init("Trained tokens", "\(grouped(trained)) (\(fixed(share, digits: 1)) %)"))
    if let shortest = lengths.first, let longest = lengths.last {
      facts.append(
        .init(
          "Tokens a row",
          "\(shortest) to \(longest), median \(lengths[lengths.count / 2])"))
    }
    return facts
  }

  /// What the run computes on.
  static func environment(_ device: Device, _ network: QwenModel) -> [RunReport.Fact] {
    [
      .init("Program", "qwen-sft \(QwenSFT.version)"),
      .init("Device", "\(device.name)"),
      .init("Arithmetic", "\(network.computeDType ?? .float32)"),
    ]
  }

  /// The words of row `index` before its trained part, and the first of that.
  func words(ofRow index: Int, count: Int = 32) -> (context: String, trained: String) {
    guard rows.indices.contains(index) else { return ("", "") }
    let row = rows[index]
    let start = row.labels.firstIndex { $0 != EncodedRow.ignoredLabel } ?? row.labels.count
    let end =
      row.labels[start...].firstIndex { $0 == EncodedRow.ignoredLabel } ?? row.labels.count
    func text(_ ids: ArraySlice<Int32>) -> String {
      // A cut within a character leaves a replacement mark at the edge.
      tokenizer.decode(Array(ids), skipSpecialTokens: true)
    }
    let before = row.inputIDs[max(0, start - count)..<start]
    let shown = row.inputIDs[start..<min(end, start + count)]
    return (
      (start > count ? "… " : "") + oneLine(text(before)),
      oneLine(text(shown)) + (end - start > count ? " …" : "")
    )
  }

  private func oneLine(_ text: String) -> String {
    text.split { $0.isWhitespace }.joined(separator: " ")
  }
}
