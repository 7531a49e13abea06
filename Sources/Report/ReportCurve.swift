// Curves of a report: points of the log, thinned to what a screen can show, and smoothed.

/// A curve of a chart.
struct ReportCurve: Sendable {
  /// How it is drawn.
  enum Kind: String, Sendable {
    /// A line.
    case line
    /// A pale line behind its smoothed form.
    case raw
    /// A line with a mark at every point.
    case marks
  }

  /// A step with a value.
  struct Point: Sendable, Equatable {
    /// The step, and the value.
    var x: Double, y: Double
  }

  /// What the legend says.
  var name: String
  /// How it is drawn.
  var kind: Kind
  /// Its points, steps ascending, values finite.
  var points: [Point]

  /// Values beyond this are left out, as those that are no numbers are: differences of them would not be finite.
  private static let largestValue = 1e100

  /// Points that a curve keeps.
  static let maximumPointCount = 1600

  /// The curve of `key`, its values divided by `unit`; nil where the log has none.
  init?(
    _ name: String, _ kind: Kind, _ key: String, in entries: [RunReport.Entry], unit: Double = 1
  ) {
    let points = entries.compactMap { entry in
      entry.values[key].flatMap { value in
        value.magnitude < Self.largestValue ? Point(x: Double(entry.step), y: value / unit) : nil
      }
    }
    guard !points.isEmpty else { return nil }
    (self.name, self.kind, self.points) = (name, kind, points)
  }

  private init(name: String, kind: Kind, points: [Point]) {
    (self.name, self.kind, self.points) = (name, kind, points)
  }

  /// The exponential moving mean, corrected for its beginning as TensorBoard's is; nil where there are few points.
  func smoothed() -> ReportCurve? {
    guard points.count >= 8 else { return nil }
    let span = max(3, Double(points.count) / 32)
    let keep = 1 - 2 / (span + 1)
    var (mean, weight) = (0.0, 0.0)
    let smooth = points.map { point in
      mean = keep * mean + (1 - keep) * point.y
      weight = keep * weight + (1 - keep)
      return Point(x: point.x, y: mean / weight)
    }
    return ReportCurve(name: name + ", smoothed", kind: .line, points: smooth)
  }

  /// At most about `count` points: of every stretch the lowest and the highest, so that spikes stay.
  func thinned(to count: Int = maximumPointCount) -> ReportCurve {
    guard points.count > count else { return self }
    var kept: [Point] = []
    let stretch = Double(points.count) / Double(count / 2)
    var start = 0
    while start < points.count {
      let bucket = Int(Double(start) / stretch)
      let end = min(points.count, max(start + 1, Int((Double(bucket + 1) * stretch).rounded(.up))))
      let range = start..<end
      let low = range.min { points[$0].y < points[$1].y } ?? start
      let high = range.max { points[$0].y < points[$1].y } ?? start
      for index in Set([low, high, start == 0 ? 0 : low, end == points.count ? end - 1 : low])
        .sorted()
      {
        kept.append(points[index])
      }
      start = end
    }
    return ReportCurve(name: name, kind: kind, points: kept)
  }
}
