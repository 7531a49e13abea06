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

  @Test("three rows say where the run stands, what it learns and what it costs, on any terminal")
  func rows() {
    var progress = TrainingProgress()
    for step in 1...60 {
      progress.add(
        step: step, totalSteps: 120, loss: 4 / Double(step), tokensPerSecond: 800, seconds: 2)
    }
    (progress.epoch, progress.learningRate, progress.gradientNorm) = (1.5, 2e-4, 0.5)
    progress.memoryByteCount = 3 << 29
    progress.add(evaluationLoss: 1.25, step: 40)
    progress.add(evaluationLoss: 1.5, step: 60)
    let rows = progress.rows(columnCount: 100, rowCount: 24, isUnicode: true)
    #expect(rows.count == 3)
    #expect(rows[0].hasPrefix("step 60/120  50 % ━") && rows[0].hasSuffix("┄ 2m00s left"))
    #expect(rows[1].hasPrefix("loss 0.") && rows[1].contains(" ↓ █"))
    #expect(rows[1].hasSuffix("epoch 1.50   learning rate 2e-4   grad norm 0.5"))
    #expect(
      rows[2]
        == "evaluation 1.5000 at step 60, lowest 1.2500 at 40   800 tokens/s   memory 1.50 GiB")
    for columns in [0, 1, 10, 39, 40, 41, 50, 60, 80, 200] {
      for isUnicode in [false, true] {
        let rows = progress.rows(columnCount: columns, rowCount: 24, isUnicode: isUnicode)
        #expect(rows.allSatisfy { $0.count <= max(0, columns - 1) }, "\(columns)")
        #expect(isUnicode || rows.allSatisfy { $0.utf8.allSatisfy { $0 < 0x80 } })
      }
    }
    #expect(progress.rows(columnCount: 100, rowCount: 5, isUnicode: true).count == 1)
  }

  @Test("the trend of a loss is that of its means, whatever single steps do")
  func trend() {
    var (falling, level, rising) = (LossTrend(), LossTrend(), LossTrend())
    for step in 1...500 {
      falling.add(5 - Double(step) / 200)
      level.add(step.isMultiple(of: 2) ? 1 : 1.0001)
      rising.add(1 + Double(step) / 200)
      rising.add(.nan)
    }
    #expect(falling.direction == -1 && level.direction == 0 && rising.direction == 1)
    #expect(falling.sparkline(width: 8).count == 8)
    #expect(rising.sparkline(width: 3).first == "▁" && rising.sparkline(width: 3).last == "█")
    #expect(LossTrend().sparkline(width: 8).isEmpty && LossTrend().recent == nil)
    var constant = LossTrend()
    for _ in 0..<100 { constant.add(1) }
    #expect(constant.sparkline(width: 8).isEmpty && constant.direction == 0)
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
