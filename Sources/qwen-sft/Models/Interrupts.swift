// SIGINT and SIGTERM become a question that the training loop asks between micro-batches.

import Glibc
import Synchronization

/// Requests to stop.
enum Interrupts {
  private static let received = Atomic<Int32>(0)

  /// Begins to listen. A second signal of the kind ends the process at once.
  static func listen() {
    for number in [SIGINT, SIGTERM] {
      signal(number) { number in
        Interrupts.received.store(number, ordering: .relaxed)
        signal(number, SIG_DFL)
      }
    }
  }

  /// Whether a signal has come.
  static var isStopRequested: Bool { received.load(ordering: .relaxed) != 0 }

  /// 128 + the number of the signal that came.
  static var exitCode: Int32 { 128 + received.load(ordering: .relaxed) }
}
