// The parts of the page that are text: answers before and after, and the rows that are learnt worst.

extension ReportPage {
  /// Answers to the prompts, the first against the last; those between are folded away.
  static func samples(_ report: RunReport) -> String {
    guard !report.samples.isEmpty else { return "" }
    let indices = Set(report.samples.map(\.index)).sorted()
    var text = ""
    for index in indices {
      let answers = report.samples.filter { $0.index == index }
      guard let first = answers.first, let last = answers.last else { continue }
      text += "<article class=\"sample\">\n<h3>\(bdi(first.prompt))</h3>\n<div class=\"pair\">\n"
      text += answer(first, answers.count > 1 && first.step == 0 ? "Before training" : when(first))
      if answers.count > 1 {
        let isResult = last.isFinal || report.status == .finished && last.step == report.step
        text += answer(last, isResult ? "After training, step \(last.step)" : when(last))
      }
      text += "</div>\n"
      let between = answers.dropFirst().dropLast()
      if !between.isEmpty {
        text +=
          "<details><summary>\(between.count) on the way</summary>\n"
          + between.map { answer($0, when($0)) }.joined() + "</details>\n"
      }
      text += "</article>\n"
    }
    return """
      <section aria-labelledby="samples">
      <h2 id="samples">Sample answers</h2>
      \(text)</section>

      """
  }

  private static func when(_ sample: RunReport.Sample) -> String {
    sample.step == 0 ? "Before training" : "Step \(sample.step)"
  }

  private static func answer(_ sample: RunReport.Sample, _ title: String) -> String {
    let text = sample.text.isEmpty ? "<i>an empty answer</i>" : bdi(sample.text)
    return "<div class=\"answer\"><h4>\(title)</h4><p>\(text)</p></div>\n"
  }

  /// The rows whose trained tokens had the highest loss.
  static func rows(_ report: RunReport) -> String {
    guard !report.highestRows.isEmpty else { return "" }
    let quantiles = report.rowQuantiles.map { "\($0.name) \($0.value)" }.joined(separator: " · ")
    let highest = report.highestRows.first?.loss ?? 1
    let rows = report.highestRows.map { row in
      let share = highest > 0 ? max(0, min(1, row.loss / highest)) : 0
      return """
        <tr><td class="number"><span class="bar" style="width:\(Int((share * 100).rounded()))%"></span>\(number(row.loss))</td><td class="number">\(row.trainedTokenCount)</td><th scope="row">\(bdi(row.place))</th><td class="text"><span class="context">\(bdi(row.context))</span> <mark>\(bdi(row.trained))</mark></td></tr>

        """
    }
    return """
      <section aria-labelledby="rows">
      <h2 id="rows">Rows with the highest loss</h2>
      <p>Rows that stay hard to the end are often the ones to look at: wrong answers, damaged text, or the rare case that needs more examples. The loss is that of the step in which the row was last trained on.\(quantiles.isEmpty ? "" : " All \(report.rowCount) rows: \(HTMLText.escaped(quantiles)).")</p>
      <div class="scroll"><table class="rows"><caption>The \(report.highestRows.count) highest of \(report.rowCount) rows</caption>
      <thead><tr><th scope="col">Loss</th><th scope="col">Trained tokens</th><th scope="col">Row</th><th scope="col">Text: what comes before, <mark>what is trained</mark></th></tr></thead>
      <tbody>
      \(rows.joined())</tbody></table></div>
      </section>

      """
  }

  private static func bdi(_ text: String) -> String {
    "<bdi dir=\"auto\">\(HTMLText.escaped(text))</bdi>"
  }

  private static func number(_ value: Double) -> String {
    ReportChart.label(ReportChart.rounded(value, digits: 4))
  }
}
