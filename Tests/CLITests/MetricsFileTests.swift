// metrics.jsonl: one line an entry, whole lines only, and never a step twice.

import Foundation
import SFT
import Testing
import qwen_sft

@Suite("The metrics file")
struct MetricsFileTests {
  private func entry(_ step: Int) -> LogEntry {
    LogEntry(values: [("loss", Double(step) / 2)], step: step)
  }

  @Test("a resumed run begins with the entries before it, in the place of what is there")
  func begin() throws {
    let folder = try TemporaryFolder()
    let path = try folder.write("{\"step\": 99}\n", to: "metrics.jsonl")
    let file = MetricsFile(folder: folder.url.path)
    #expect(try String(contentsOfFile: path, encoding: .utf8) == "{\"step\": 99}\n")
    file.begin(with: [entry(1), entry(2)])
    file.append(entry(3))
    let lines = try String(contentsOfFile: path, encoding: .utf8).split(separator: "\n")
    #expect(lines.count == 3 && lines.allSatisfy { $0.hasPrefix("{\"loss\"") })
    #expect(lines.map { $0.suffix(2) } == ["1}", "2}", "3}"])
  }

  @Test("a file that cannot be written does not stop the run")
  func failure() throws {
    let folder = try TemporaryFolder()
    let file = MetricsFile(folder: folder.url("none/at/all\0").path + "\0")
    file.begin(with: [])
    file.append(entry(1))
    let full = MetricsFile(folder: "/proc/self")
    full.begin(with: [])
    full.append(entry(1))
  }
}
