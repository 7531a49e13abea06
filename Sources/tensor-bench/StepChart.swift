// Step time and memory against row length as an SVG drawing. It draws and measures nothing.

/// Two panels over the same lengths, both axes logarithmic: seconds of a step, and bytes.
struct StepChart {
  /// One measured step.
  struct Point: Decodable {
    /// The line that the point is on, such as "bf16".
    let mode: String
    /// Tokens of the row.
    let tokens: Int
    /// Seconds of the step.
    let seconds: Double
    /// Peak memory of its process.
    let bytes: Double
  }

  let title: String
  let points: [Point]

  private static let colors = ["#0b6e99", "#c2571a", "#2e7d32", "#7b3fa0", "#555555"]
  private static let panel = (width: 340.0, height: 260.0, top: 60.0, gap: 90.0, left: 60.0)

  /// The drawing.
  var svg: String {
    let panel = StepChart.panel
    let width = panel.left + 2 * panel.width + panel.gap + 20
    let height = panel.top + panel.height + 80
    var parts = [
      #"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 \#(text(width)) \#(text(height))" font-family="sans-serif" font-size="12">"#,
      #"<rect width="100%" height="100%" fill="white"/>"#,
      label(title, x: panel.left, y: 24, size: 14),
    ]
    parts += drawing("seconds a step", left: panel.left, \.seconds)
    parts += drawing("peak memory, GB", left: panel.left + panel.width + panel.gap) {
      $0.bytes * 1e-9
    }
    for (index, mode) in modes.enumerated() {
      let x = panel.left + 90 * Double(index)
      let y = panel.top + panel.height + 60
      parts.append(
        #"<line x1="\#(text(x))" y1="\#(text(y - 4))" x2="\#(text(x + 22))" y2="\#(text(y - 4))" stroke="\#(color(index))" stroke-width="2"/>"#
      )
      parts.append(label(mode, x: x + 28, y: y))
    }
    return parts.joined(separator: "\n") + "\n</svg>\n"
  }

  /// The names of the lines, in the order of the file.
  private var modes: [String] {
    var modes: [String] = []
    for point in points where !modes.contains(point.mode) { modes.append(point.mode) }
    return modes
  }

  /// One panel: frame, grid, and a line for each mode.
  private func drawing(_ name: String, left: Double, _ value: (Point) -> Double) -> [String] {
    let panel = StepChart.panel
    let lengths = Axis(points.map { Double($0.tokens) }, base: 2)
    let values = Axis(points.map(value), base: 10)
    func place(_ tokens: Double, _ height: Double) -> (x: Double, y: Double) {
      (
        left + panel.width * lengths.fraction(tokens),
        panel.top + panel.height * (1 - values.fraction(height))
      )
    }
    var parts = [
      label(name, x: left, y: panel.top - 10),
      #"<rect x="\#(text(left))" y="\#(text(panel.top))" width="\#(text(panel.width))" height="\#(text(panel.height))" fill="none" stroke="gray"/>"#,
    ]
    for tick in lengths.ticks {
      let (x, bottom) = (place(tick, values.low).x, panel.top + panel.height)
      parts.append(grid(x, panel.top, x, bottom))
      parts.append(label(text(tick), x: x, y: bottom + 18, anchor: "middle"))
    }
    for tick in values.ticks {
      let y = place(lengths.low, tick).y
      parts.append(grid(left, y, left + panel.width, y))
      parts.append(label(text(tick), x: left - 6, y: y + 4, anchor: "end"))
    }
    parts.append(
      label(
        "tokens", x: left + panel.width / 2, y: panel.top + panel.height + 36, anchor: "middle"))
    for (index, mode) in modes.enumerated() {
      let line = points.filter { $0.mode == mode }.sorted { $0.tokens < $1.tokens }
      let places = line.map { place(Double($0.tokens), value($0)) }
      let path = places.map { "\(text($0.x)),\(text($0.y))" }.joined(separator: " ")
      parts.append(
        #"<polyline points="\#(path)" fill="none" stroke="\#(color(index))" stroke-width="2"/>"#)
      for (point, spot) in zip(line, places) {
        parts.append(
          #"<circle cx="\#(text(spot.x))" cy="\#(text(spot.y))" r="3" fill="\#(color(index))"><title>\#(escaped(mode)), \#(point.tokens) tokens: \#(text(value(point)))</title></circle>"#
        )
      }
    }
    return parts
  }

  private func color(_ index: Int) -> String {
    StepChart.colors[index % StepChart.colors.count]
  }

  private func grid(_ x1: Double, _ y1: Double, _ x2: Double, _ y2: Double) -> String {
    #"<line x1="\#(text(x1))" y1="\#(text(y1))" x2="\#(text(x2))" y2="\#(text(y2))" stroke="gainsboro"/>"#
  }

  private func label(
    _ content: String, x: Double, y: Double, size: Int = 12, anchor: String = "start"
  ) -> String {
    #"<text x="\#(text(x))" y="\#(text(y))" font-size="\#(size)" text-anchor="\#(anchor)">\#(escaped(content))</text>"#
  }

  private func escaped(_ text: String) -> String {
    var result = ""
    for character in text {
      switch character {
      case "&": result += "&amp;"
      case "<": result += "&lt;"
      case ">": result += "&gt;"
      default: result.append(character)
      }
    }
    return result
  }

  /// A number with at most two decimal places.
  private func text(_ value: Double) -> String {
    let rounded = (value * 100).rounded() / 100
    return rounded == rounded.rounded() ? "\(Int(rounded))" : "\(rounded)"
  }
}

/// A logarithmic axis from a power of its base to another.
private struct Axis {
  let low, high: Double
  let ticks: [Double]

  init(_ values: [Double], base: Double) {
    let positive = values.filter { $0 > 0 && $0.isFinite }
    let (least, largest) = (positive.min() ?? 1, positive.max() ?? 1)
    var tick = 1.0
    while tick > least { tick /= base }
    while tick * base <= least { tick *= base }
    var ticks = [tick]
    while tick < largest {
      tick *= base
      ticks.append(tick)
    }
    if ticks.count == 1 { ticks.append(tick * base) }
    self.ticks = ticks
    (low, high) = (ticks[0], ticks[ticks.count - 1])
  }

  /// Where a value is, from 0 to 1.
  func fraction(_ value: Double) -> Double {
    // log₂ by halving: enough for a drawing, and without a library of mathematics.
    (StepChart.binaryLogarithm(value) - StepChart.binaryLogarithm(low))
      / (StepChart.binaryLogarithm(high) - StepChart.binaryLogarithm(low))
  }
}

extension StepChart {
  /// log₂ of a positive number, to five digits.
  static func binaryLogarithm(_ value: Double) -> Double {
    guard value > 0, value.isFinite else { return 0 }
    var (result, rest, bit) = (Double(value.exponent), value.significand, 0.5)
    for _ in 0..<20 {
      rest *= rest
      if rest >= 2 {
        rest /= 2
        result += bit
      }
      bit /= 2
    }
    return result
  }
}
