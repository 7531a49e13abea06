// A chart of a report as data: curves over the steps, and which numbers stand at its axes.

import OrderedJSON

/// A chart.
struct ReportChart: Sendable {
  /// The element's name on the page.
  var id: String
  /// The heading, and what the values are measured in.
  var title: String, unit: String
  /// The curves, thinned.
  var curves: [ReportCurve]
  /// Whether values begin at 0.
  var beginsAtZero = false

  /// A chart of those curves that there are; nil where there is none.
  init?(
    _ id: String, _ title: String, unit: String, _ curves: [ReportCurve?],
    beginsAtZero: Bool = false
  ) {
    let present = curves.compactMap { $0 }
    guard !present.isEmpty else { return nil }
    (self.id, self.title, self.unit, self.beginsAtZero) = (id, title, unit, beginsAtZero)
    self.curves = present.map { $0.thinned() }
  }

  /// The charts of a run; those without a value are left out.
  static func charts(of report: RunReport) -> [ReportChart] {
    let log = report.entries
    let loss = ReportCurve("training", .raw, "loss", in: log)
    let norm = ReportCurve("gradient norm", .raw, "grad_norm", in: log)
    let rate = ReportCurve("training", .raw, "tokens_per_second", in: log)
    let accuracy = ReportCurve("training", .raw, "mean_token_accuracy", in: log)
    return [
      ReportChart(
        "loss", "Loss", unit: "nats a trained token",
        [loss, loss?.smoothed(), ReportCurve("evaluation", .marks, "eval_loss", in: log)]),
      ReportChart(
        "accuracy", "Token accuracy", unit: "share of trained tokens predicted",
        [
          accuracy, accuracy?.smoothed(),
          ReportCurve("evaluation", .marks, "eval_mean_token_accuracy", in: log),
        ]),
      ReportChart(
        "rate", "Learning rate", unit: "of the step",
        [ReportCurve("learning rate", .line, "learning_rate", in: log)], beginsAtZero: true),
      ReportChart(
        "norm", "Gradient norm", unit: "before clipping", [norm, norm?.smoothed()],
        beginsAtZero: true),
      ReportChart(
        "speed", "Throughput", unit: "tokens a second", [rate, rate?.smoothed()],
        beginsAtZero: true),
      ReportChart(
        "memory", "Peak memory", unit: "GiB, the highest so far",
        [ReportCurve("peak memory", .line, "peak_memory_bytes", in: log, unit: 0x1p30)],
        beginsAtZero: true),
    ].compactMap { $0 }
  }

  /// The first and the last step of all curves.
  var steps: ClosedRange<Double> {
    let xs = curves.flatMap { [$0.points.first?.x, $0.points.last?.x] }.compactMap { $0 }
    let (low, high) = (xs.min() ?? 0, xs.max() ?? 1)
    return low < high ? low...high : low - 1...low + 1
  }

  /// The values that the axis spans.
  var values: ClosedRange<Double> {
    let ys = curves.flatMap { $0.points.map(\.y) }
    var (low, high) = (ys.min() ?? 0, ys.max() ?? 1)
    if beginsAtZero { low = min(low, 0) }
    let room = high > low ? (high - low) * 0.06 : max(high.magnitude * 0.1, 1e-12)
    if low != 0 || !beginsAtZero { low -= room }
    return low...(high + room)
  }

  /// The chart for the page's script.
  var json: JSON {
    [
      "id": .string(id), "zero": .bool(beginsAtZero),
      "curves": .array(
        curves.map { curve in
          [
            "name": .string(curve.name), "kind": .string(curve.kind.rawValue),
            "x": .array(curve.points.map { .integer(Int($0.x)) }),
            "y": .array(curve.points.map { .number(Self.rounded($0.y)) }),
          ]
        }),
    ]
  }

  /// About `count` round numbers within `range`: 1, 2 or 5 times a power of ten apart.
  static func ticks(_ range: ClosedRange<Double>, count: Int) -> [Double] {
    let span = range.upperBound - range.lowerBound
    guard span > 0, span.isFinite, count > 0 else { return [range.lowerBound] }
    var unit = 1.0
    while unit > span / Double(count) { unit /= 10 }
    while unit * 10 <= span / Double(count) { unit *= 10 }
    let step =
      [1, 2, 5, 10].map { $0 * unit }.first { span / $0 <= Double(count) } ?? unit * 10
    let first = (range.lowerBound / step).rounded(.up)
    let last = (range.upperBound / step).rounded(.down)
    guard first <= last, last - first < 1000 else { return [] }
    return stride(from: first, through: last, by: 1).map { $0 * step }
  }

  /// A number beside an axis: "0.002", "1.5k", "2e-05".
  static func label(_ value: Double) -> String {
    let size = value.magnitude
    for (limit, unit) in [(1e9, "G"), (1e6, "M"), (1e4, "k")] where size >= limit {
      return plain(value / (unit == "k" ? 1e3 : limit)) + unit
    }
    return plain(value)
  }

  private static func plain(_ value: Double) -> String {
    let text = JSON.pythonRepresentation(of: rounded(value, digits: 6))
    return text.hasSuffix(".0") ? String(text.dropLast(2)) : text
  }

  /// `value` with so many significant digits.
  static func rounded(_ value: Double, digits: Int = 6) -> Double {
    guard value != 0, value.isFinite else { return value == 0 ? 0 : value }
    var (scale, mantissa) = (1.0, value.magnitude)
    var limit = 1.0
    for _ in 0..<digits - 1 { limit *= 10 }
    while mantissa * scale < limit, scale < 1e280 { scale *= 10 }
    while mantissa >= limit * 10, mantissa.isFinite {
      mantissa /= 10
      scale /= 10
    }
    // A division gives the nearest number to the decimal one; a product with a power below 1 would not.
    let whole = (value * scale).rounded()
    return scale >= 1 ? whole / scale : whole * (1 / scale).rounded()
  }
}
