// How far all files together have come.

import Synchronization

/// Counts of bytes and files, kept by several threads.
final class TransferProgress: Sendable {
  private struct Counts {
    var byteCount: Int
    var filesDone: Int
  }

  private let total: Int
  private let context: HubContext
  private let counts: Mutex<Counts>

  /// Begins with what is here already.
  init(_ context: HubContext, byteCount: Int, of total: Int, filesDone: Int) {
    self.context = context
    self.total = total
    counts = Mutex(Counts(byteCount: byteCount, filesDone: filesDone))
  }

  /// Bytes came, or were thrown away.
  func add(_ byteCount: Int) { note { $0.byteCount += byteCount } }

  /// A file is done.
  func finishFile() { note { $0.filesDone += 1 } }

  private func note(_ change: (inout Counts) -> Void) {
    let counts = counts.withLock { counts in
      change(&counts)
      return counts
    }
    context.report(
      .progressed(byteCount: counts.byteCount, of: total, filesDone: counts.filesDone))
  }
}
