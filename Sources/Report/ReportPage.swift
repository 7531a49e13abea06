// report.html: a run on one page that needs nothing else and sends nothing anywhere. It reads without scripts; with
// them, charts can be pointed at, enlarged and switched to a logarithmic axis.

import OrderedJSON

/// The page of a run.
package enum ReportPage {
  /// The page as HTML.
  package static func html(_ report: RunReport) -> String {
    let charts = ReportChart.charts(of: report)
    let data = JSON.array(charts.map(\.json)).serialized(style: .compact)
    return """
      <!DOCTYPE html>
      <html lang="en">
      <head>
      <meta charset="utf-8">
      <meta name="viewport" content="width=device-width, initial-scale=1">
      <meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:">
      <link rel="icon" href="data:,">
      <title>\(HTMLText.escaped(report.title))</title>
      <style>
      \(style)
      </style>
      </head>
      <body>
      \(header(report))<main>
      \(section("curves", "Curves", charts.isEmpty ? nothing("The log has no entry yet.") : "<div class=\"charts\">\n\(charts.map(\.figure).joined())</div>\n"))\(samples(report))\(rows(report))\(section("data", "Data", facts(report.data, caption: "The rows of the run")))\(section("recipe", "Recipe", recipe(report)))\(section("environment", "Where and how", facts(report.environment, caption: "The model, the program and the device")))</main>
      <footer><p>Written by qwen-sft\(report.writtenAt.isEmpty ? "" : " on " + HTMLText.escaped(report.writtenAt)). Figures are those of <code>metrics.jsonl</code>; the loss of an entry is the mean over the steps since the one before.</p></footer>
      <script type="application/json" id="charts-data">\(HTMLText.scriptData(data))</script>
      <script>
      \(script)
      </script>
      </body>
      </html>

      """
  }

  private static func header(_ report: RunReport) -> String {
    let (word, note): (String, String) =
      switch report.status {
      case .running: ("running", "The run goes on: this is how it stood at the last checkpoint.")
      case .finished: ("finished", "")
      case .interrupted(let how): ("interrupted", how)
      case .failed(let why): ("failed", why)
      }
    let steps =
      report.totalSteps > 0 ? "step \(report.step) of \(report.totalSteps)" : "step \(report.step)"
    let tiles = report.figures.map {
      "<div><dt>\(HTMLText.escaped($0.name))</dt><dd>\(HTMLText.escaped($0.value))</dd></div>\n"
    }
    let notices = report.notices.map { "<li><bdi>\(HTMLText.escaped($0))</bdi></li>\n" }
    return """
      <header>
      <h1><bdi>\(HTMLText.escaped(report.title))</bdi></h1>
      <p class="status \(word)"><strong>\(word)</strong> \(steps)</p>
      \(note.isEmpty ? "" : "<p class=\"note\"><bdi>\(HTMLText.escaped(note))</bdi></p>\n")\(tiles.isEmpty ? "" : "<dl class=\"tiles\">\n\(tiles.joined())</dl>\n")\(notices.isEmpty ? "" : "<ul class=\"notices\" aria-label=\"Notices\">\n\(notices.joined())</ul>\n")</header>

      """
  }

  private static func section(_ id: String, _ title: String, _ body: String) -> String {
    body.isEmpty
      ? ""
      : "<section aria-labelledby=\"\(id)\">\n<h2 id=\"\(id)\">\(title)</h2>\n\(body)</section>\n"
  }

  private static func nothing(_ text: String) -> String { "<p class=\"nothing\">\(text)</p>\n" }

  private static func facts(_ facts: [RunReport.Fact], caption: String) -> String {
    guard !facts.isEmpty else { return "" }
    let rows = facts.map {
      "<tr><th scope=\"row\">\(HTMLText.escaped($0.name))</th><td><bdi>\(HTMLText.escaped($0.value))</bdi></td></tr>\n"
    }
    return """
      <div class="scroll"><table class="facts"><caption>\(caption)</caption>
      <tbody>
      \(rows.joined())</tbody></table></div>

      """
  }

  private static func recipe(_ report: RunReport) -> String {
    guard !report.recipe.isEmpty else { return "" }
    return """
      <details><summary>All \(report.recipe.count) settings (also in <code>recipe.yaml</code>)</summary>
      \(facts(report.recipe, caption: "Every setting of the run"))</details>

      """
  }
}
