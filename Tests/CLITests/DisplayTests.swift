// Numbers and progress as text.

import Testing
import qwen_sft

@Suite("Display")
struct DisplayTests {
  @Test("numbers are rounded to nearest and never trap")
  func numbers() {
    #expect(fixed(1.005, digits: 2) == "1.00" && fixed(0.06, digits: 1) == "0.1")
    #expect(fixed(-0.001, digits: 2) == "0.00" && fixed(-12.5, digits: 1) == "-12.5")
    #expect(fixed(7, digits: 0) == "7" && fixed(.nan, digits: 2) == "nan")
    #expect(fixed(-.infinity, digits: 2) == "-inf" && fixed(1e300, digits: 3) == "1e+300")
    #expect(significant(0.0002) == "2e-4" && significant(1.23456) == "1.235")
    #expect(significant(0) == "0" && significant(123_456) == "123456")
    #expect(significant(9.99999) == "10" && significant(1_234_567) == "1.235e6")
    #expect(
      significant(Double.leastNonzeroMagnitude).hasSuffix("e-324") && significant(-0.05) == "-0.05")
    #expect(grouped(0) == "0" && grouped(-1_234_567) == "-1,234,567" && grouped(999) == "999")
    #expect(grouped(Int.min) == "-9,223,372,036,854,775,808")
  }

  @Test("durations are short")
  func durations() {
    let cases: [(Double, String)] = [
      (0, "0s"), (59.4, "59s"), (245, "4m05s"), (7384, "2h03m"), (273_600, "3d04h"), (.nan, "?"),
      (-1, "?"), (1e300, "?"),
    ]
    for (seconds, text) in cases { #expect(duration(seconds) == text) }
  }

  @Test("the moving row fits the terminal and says where the run stands")
  func row() {
    var progress = TrainingProgress()
    for step in 1...30 {
      progress.add(step: step, totalSteps: 120, loss: 1.25, tokensPerSecond: 800, seconds: 2)
    }
    #expect(progress.secondsLeft == 180)
    let row = progress.row(columnCount: 80)
    #expect(
      row.hasPrefix("step 30/120 [") && row.hasSuffix("loss 1.2500, 800 tokens/s, 3m00s left"))
    #expect(row.count == 79)
    let (done, left) = (row.count { $0 == "#" }, row.count { $0 == "-" })
    #expect(done == (done + left) / 4 && done + left > 20)
    for columns in [0, 1, 2, 20, 40, 60, 400] {
      #expect(progress.row(columnCount: columns).count <= max(0, columns - 1))
    }
    #expect(!progress.isComplete)
    progress.add(step: 120, totalSteps: 120, loss: .nan, tokensPerSecond: .nan, seconds: .infinity)
    #expect(progress.isComplete && progress.row(columnCount: 80).contains("loss nan"))
  }

  @Test("a line of the log leaves out what is not known")
  func line() {
    var progress = TrainingProgress()
    progress.totalSteps = 40
    progress.add(step: 10, totalSteps: 40, loss: 2, tokensPerSecond: 100, seconds: 1)
    #expect(
      progress.line(
        step: 10, epoch: 0.25, loss: 2, gradientNorm: 0.5, learningRate: 2e-4, tokensPerSecond: 99.6
      )
        == "step 10/40, epoch 0.25, loss 2.0000, grad norm 0.5, learning rate 2e-4, 100 tokens/s, 30s left"
    )
    #expect(
      progress.line(
        step: 40, epoch: nil, loss: nil, gradientNorm: nil, learningRate: nil, tokensPerSecond: nil)
        == "step 40/40")
  }

  @Test("messages are one line without control characters")
  func oneLine() {
    #expect(Diagnostics.oneLine("a\nb\r\n\u{1B}[31mc\u{2028}d\u{85}\n") == "a b [31mc d")
    #expect(Diagnostics.oneLine("é 漢 🙂") == "é 漢 🙂")
  }
}
