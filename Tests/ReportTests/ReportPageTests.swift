// The report's page: whole, self-contained, and deaf to what is written in the data.

import OrderedJSON
import Report
import Testing

@Suite("The report")
struct ReportPageTests {
  static let hostile =
    "</script><script>alert(1)</script> \"'><img src=x onerror=alert(1)> & \u{202E}txt\u{2066} \u{0}\u{1B}[31m \u{2028}"

  static func report(entries: Int = 40, text: String = "plain") -> RunReport {
    var report = RunReport(title: "run \(text)")
    report.status = .failed(text)
    report.entries = (1...max(1, entries)).flatMap { step in
      [
        RunReport.Entry(
          step: step,
          values: [
            "loss": 4 / Double(step), "grad_norm": 1, "learning_rate": 1e-4, "epoch": 0.1,
            "mean_token_accuracy": 0.5, "tokens_per_second": .nan, "peak_memory_bytes": 0x1p30,
          ]),
        RunReport.Entry(step: step, values: ["eval_loss": 5 / Double(step)]),
      ]
    }
    report.samples = [
      .init(step: 0, index: 0, isFinal: false, prompt: text, text: text),
      .init(step: 5, index: 0, isFinal: false, prompt: text, text: text),
      .init(step: 9, index: 0, isFinal: true, prompt: text, text: ""),
    ]
    report.highestRows = [
      .init(place: text, loss: 3, trainedTokenCount: 4, context: text, trained: text)
    ]
    report.rowCount = 1
    report.data = [.init(text, text)]
    report.recipe = [.init(text, text)]
    report.environment = [.init(text, text)]
    report.notices = [text]
    report.figures = [.init(text, text)]
    return report
  }

  @Test("hostile text stays text wherever it stands")
  func escaping() {
    let page = ReportPage.html(Self.report(text: Self.hostile))
    let plain = ReportPage.html(Self.report())
    // As many tags as with harmless text: nothing of it became markup.
    for tag in ["<script", "</script", "<img", "<bdi", "</bdi", "<td", "<"] {
      let (found, expected) = (page.components(of: tag), plain.components(of: tag))
      #expect(found == expected, "\(tag): \(found) and \(expected)")
    }
    #expect(page.contains("&lt;/script&gt;&lt;script&gt;alert(1)"))
    #expect(page.contains("&quot;&#39;&gt;&lt;img src=x"))
    for scalar in page.unicodeScalars {
      #expect(scalar == "\n" || HTMLText.name(ofHidden: scalar) == nil, "\(scalar.value)")
    }
    #expect(page.contains("U+202Etxt") && page.contains("\u{2400}\u{241B}[31m"))
  }

  @Test("the page asks for nothing: no address, no import, no font, and a policy that forbids it")
  func selfContained() {
    let page = ReportPage.html(Self.report())
    for word in [
      "http:", "https:", "@import", "url(", "<link rel=\"stylesheet", "<script src", "fetch(",
    ] {
      // The name of SVG's elements is an address that nobody visits.
      let rest = page.replacing("http://www.w3.org/2000/svg", with: "")
      #expect(!rest.contains(word), "\(word)")
    }
    #expect(page.contains("default-src 'none'"))
    #expect(page.contains("<title>run plain</title>") && page.contains("<html lang=\"en\">"))
    #expect(page.components(of: "<h1") == 1 && page.contains("prefers-color-scheme: dark"))
    #expect(page.components(of: "<caption") == page.components(of: "<table"))
    #expect(page.components(of: "role=\"img\" aria-label=\"") == page.components(of: "<figure"))
  }

  @Test("what is not there is left out, and no number makes it trap")
  func empty() {
    let page = ReportPage.html(RunReport(title: ""))
    #expect(page.contains("no entry yet") && !page.contains("<table") && !page.contains("<figure"))
    var report = RunReport(title: "x")
    for (step, value) in [0, -1e308, 1e308, .nan, .infinity, .leastNonzeroMagnitude, 1].enumerated()
    {
      report.entries.append(.init(step: step, values: ["loss": value, "grad_norm": value]))
    }
    report.entries.append(.init(step: 3, values: ["eval_loss": 1e-300]))
    let odd = ReportPage.html(report)
    #expect(!odd.contains("points=\"nan") && !odd.contains("NaN\"") && odd.contains("<figure"))
  }

  @Test("the charts' data is JSON that a script element holds, with spikes kept and points bounded")
  func data() throws {
    var report = Self.report(entries: 1)
    report.entries = (1...50_000).map { step in
      .init(step: step, values: ["loss": step == 33_333 ? 99 : 1 / Double(step)])
    }
    let page = ReportPage.html(report)
    #expect(page.utf8.count < 400_000)
    let start = try #require(page.firstRange(of: "id=\"charts-data\">"))
    let rest = page[start.upperBound...]
    let end = try #require(rest.firstRange(of: "</script>"))
    let charts = try #require(JSON.parse(String(rest[..<end.lowerBound])).arrayValue)
    let curves = try #require(charts.first?["curves"]?.arrayValue)
    #expect(curves.compactMap { $0["name"]?.stringValue } == ["training", "training, smoothed"])
    let xs = try #require(curves[0]["x"]?.arrayValue).compactMap(\.integerValue)
    let ys = try #require(curves[0]["y"]?.arrayValue).compactMap(\.doubleValue)
    #expect(xs.count == ys.count && xs.count <= 1700 && xs.first == 1 && xs.last == 50_000)
    #expect(xs == xs.sorted() && Set(xs).count == xs.count)
    #expect(ys.max() == 99 && xs[ys.firstIndex(of: 99) ?? 0] == 33_333)
  }
}

extension String {
  /// How often `part` is in the text.
  func components(of part: String) -> Int {
    ranges(of: part).count
  }
}
