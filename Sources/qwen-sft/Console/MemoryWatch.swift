// Says that memory is running short while there is still some: before a run, from its plan, and while it goes on.

import SFT
import Tensor

/// Watches the memory that a run may still take.
package final class MemoryWatch {
  /// The resident set that the run is expected to reach, in bytes; nil where unknown.
  private let plannedPeak: Int?
  private var lastCheck: ContinuousClock.Instant?
  /// Whether there is nothing more to say.
  private var isOver = false

  /// A watch over a run that is to take `plannedPeak` bytes.
  package init(plannedPeak: Int? = nil) { self.plannedPeak = plannedPeak }

  /// A watch over `run`, in the process that has its tokenizer and its data and not its weights yet. Says what it will take
  /// where that is more than there is. What a run on a GPU takes of this machine's memory is little and not planned: nothing is
  /// watched then.
  ///
  /// - Throws: what is known to stop the run once its weights are there, such as a memory budget that is too small.
  convenience init(of run: RunOutline, on device: Device) throws {
    guard device.name == Device.cpu.name else {
      self.init()
      isOver = true
      return
    }
    let resident = ProcessMemory.residentByteCount
    let peak = try MemoryPlan(run, programByteCount: resident, isQuick: true).peakByteCount
    self.init(plannedPeak: peak)
    guard let available = MemoryInformation.current().available,
      let warning = Self.forecast(peak: peak, resident: resident, available: available)
    else { return }
    isOver = true
    Diagnostics.notice(warning)
  }

  /// Warns once when there is little left; asks the system at most once a second.
  func check() {
    guard !isOver else { return }
    let now = ContinuousClock.now
    if let lastCheck, now - lastCheck < .seconds(1) { return }
    lastCheck = now
    guard let available = MemoryInformation.current().available,
      let warning = Self.warning(
        available: available, resident: ProcessMemory.residentByteCount, plannedPeak: plannedPeak)
    else { return }
    isOver = true
    Diagnostics.notice(warning)
  }

  /// What to say before a run that will hold `peak` bytes, in a process that holds `resident` of them already, where
  /// `available` more can be had; nil where they are enough.
  package static func forecast(peak: Int, resident: Int, available: Int) -> String? {
    guard peak - resident > available else { return nil }
    let size = memoryText(max(0, resident + available)).filter { $0 != " " }
    return
      "the run will take about \(memoryText(peak)) and \(memoryText(max(0, available))) are free: "
      + "it may be stopped by the system (settings that fit: qwen-sft plan --fit \(size) with the options of this run)"
  }

  /// What to say while a run goes on that holds `resident` bytes where `available` more can be had: nil while these are
  /// enough for what it has still to grow to `plannedPeak`, and a twentieth of that for what no plan knows.
  package static func warning(available: Int, resident: Int, plannedPeak: Int?) -> String? {
    let peak = max(plannedPeak ?? 0, resident)
    let growth = peak - resident + peak / 20
    guard available < growth else { return nil }
    return "memory is running short: \(memoryText(max(0, available))) are left, the run holds "
      + "\(memoryText(resident)) and is to reach \(memoryText(peak)) "
      + "(lower --max_seq_length or the batch size, or use --gradient_checkpointing auto)"
  }
}
