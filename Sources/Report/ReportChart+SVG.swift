// A chart drawn once, for readers without scripts, printers and the first moment; the page's script draws it again at
// the size that it finds.

extension ReportChart {
  /// The drawing's size in its own units, and where the axes are.
  private static let width = 520.0, height = 260.0, left = 58.0, right = 12.0
  private static let top = 10.0, bottom = 30.0

  /// The chart with heading, legend and drawing.
  var figure: String {
    let label = HTMLText.escaped(summary)
    return """
      <figure class="chart" id="chart-\(id)">
      <figcaption><h3>\(HTMLText.escaped(title))</h3><span class="unit">\(HTMLText.escaped(unit))</span></figcaption>
      <div class="plot"><svg viewBox="0 0 \(Int(Self.width)) \(Int(Self.height))" role="img" aria-label="\(label)">
      \(grid)\(curves.enumerated().map { drawing($1, number: $0) }.joined())</svg></div>
      <p class="legend">\(curves.enumerated().map { legend($1, number: $0) }.joined(separator: " "))</p>
      </figure>

      """
  }

  /// The chart in words.
  private var summary: String {
    let parts = curves.filter { $0.kind != .raw || curves.count == 1 }.compactMap {
      curve -> String? in
      guard let first = curve.points.first, let last = curve.points.last else { return nil }
      let (from, to) = (
        Self.label(Self.rounded(first.y, digits: 4)), Self.label(Self.rounded(last.y, digits: 4))
      )
      return "\(curve.name): \(from) at step \(Int(first.x)), \(to) at step \(Int(last.x))"
    }
    return "\(title) over the steps. \(parts.joined(separator: "; "))"
  }

  private func place(_ point: ReportCurve.Point) -> (x: Double, y: Double) {
    let (xs, ys) = (steps, values)
    let x = (point.x - xs.lowerBound) / (xs.upperBound - xs.lowerBound)
    let y = (point.y - ys.lowerBound) / (ys.upperBound - ys.lowerBound)
    return (
      Self.left + x * (Self.width - Self.left - Self.right),
      Self.height - Self.bottom - y * (Self.height - Self.top - Self.bottom)
    )
  }

  private var grid: String {
    var text = "<g class=\"grid\">"
    for value in Self.ticks(values, count: 5) {
      let y = Self.text(place(.init(x: 0, y: value)).y)
      text +=
        "<line x1=\"\(Int(Self.left))\" x2=\"\(Int(Self.width - Self.right))\" y1=\"\(y)\" y2=\"\(y)\"/>"
        + "<text x=\"\(Int(Self.left - 6))\" y=\"\(y)\" dy=\".32em\" class=\"y\">\(Self.label(value))</text>"
    }
    for value in Self.ticks(steps, count: 6) where value == value.rounded() {
      let x = Self.text(place(.init(x: value, y: 0)).x)
      text +=
        "<text x=\"\(x)\" y=\"\(Int(Self.height - 10))\" class=\"x\">\(Self.label(value))</text>"
    }
    return text + "</g>\n"
  }

  private func drawing(_ curve: ReportCurve, number: Int) -> String {
    let places = curve.points.map(place)
    let line = places.map { "\(Self.text($0.x)),\(Self.text($0.y))" }.joined(separator: " ")
    var text = "<polyline class=\"\(style(curve))\" points=\"\(line)\"/>\n"
    if curve.kind == .marks || places.count == 1 {
      for place in places {
        text +=
          "<circle class=\"\(style(curve))\" cx=\"\(Self.text(place.x))\" cy=\"\(Self.text(place.y))\" r=\"3\"/>"
      }
    }
    return text
  }

  /// Training is blue, evaluation orange and dashed: they differ without colours too.
  private func style(_ curve: ReportCurve) -> String { "curve \(curve.kind.rawValue)" }

  private func legend(_ curve: ReportCurve, number: Int) -> String {
    "<span><svg class=\"key\" viewBox=\"0 0 24 8\" aria-hidden=\"true\"><polyline class=\"\(style(curve))\" "
      + "points=\"1,4 23,4\"/></svg>\(HTMLText.escaped(curve.name))</span>"
  }

  /// A coordinate with one decimal.
  private static func text(_ value: Double) -> String {
    let tenths = Int((value * 10).rounded())
    return tenths % 10 == 0 ? "\(tenths / 10)" : "\(tenths / 10).\(abs(tenths % 10))"
  }
}
