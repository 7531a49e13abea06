// The command that draws what Scripts/bench-lengths measured.

import ArgumentParser
import FoundationEssentials

/// Draws step time and memory against row length.
struct Plot: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Draws step time and memory against row length as an SVG file.")

  @Argument(
    help: ArgumentHelp(
      "File of measured steps, one JSON value a line (mode, tokens, seconds, bytes).",
      valueName: "file"))
  var data: String
  @Option(help: "Title of the drawing.") var title = "A training step"
  @Option(help: ArgumentHelp("File to write.", valueName: "file")) var out: String

  func run() throws {
    guard let bytes = FileManager.default.contents(atPath: data) else {
      throw ValidationError("\(data): cannot be read")
    }
    var points: [StepChart.Point] = []
    for (index, line) in bytes.split(separator: UInt8(ascii: "\n")).enumerated() {
      do {
        let point = try JSONDecoder().decode(StepChart.Point.self, from: Data(line))
        guard point.tokens > 0, point.seconds > 0, point.bytes > 0 else {
          throw ValidationError("numbers above 0 are needed")
        }
        points.append(point)
      } catch {
        throw ValidationError("\(data), line \(index + 1): no measured step (\(error))")
      }
    }
    guard !points.isEmpty else { throw ValidationError("\(data): holds no measured step") }
    try Data(StepChart(title: title, points: points).svg.utf8).write(
      to: URL(filePath: out), options: .atomic)
  }
}
