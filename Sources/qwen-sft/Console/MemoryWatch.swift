// Says that memory is running short while there is still some.

import SFT

/// Watches the memory that a run may still take.
final class MemoryWatch {
  private var lastCheck: ContinuousClock.Instant?
  private var hasWarned = false

  /// Warns once when there is little left; asks the system at most once a second.
  func check() {
    guard !hasWarned else { return }
    let now = ContinuousClock.now
    if let lastCheck, now - lastCheck < .seconds(1) { return }
    lastCheck = now
    let used = ProcessMemory.peakResidentByteCount
    guard let available = MemoryInformation.current().available,
      let warning = Self.warning(available: available, used: used)
    else { return }
    hasWarned = true
    Diagnostics.notice(warning)
  }

  /// The warning where `available` bytes are fewer than a twentieth of what the run has `used` at its peak, or than
  /// 128 MiB: a longer row can need that much more.
  static func warning(available: Int, used: Int) -> String? {
    guard available < max(used / 20, 1 << 27) else { return nil }
    let gib = { (bytes: Int) in fixed(Double(bytes) / 0x1p30, digits: 2) + " GiB" }
    return "memory is running short: \(gib(available)) are left and the run has taken \(gib(used)) "
      + "(lower --max_seq_length or the batch size, or use --gradient_checkpointing)"
  }
}
