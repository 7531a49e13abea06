// SIGINT and SIGTERM become a question: the training loop asks it between micro-batches, exports between pieces of weights.

import Glibc
import Synchronization

/// Requests to stop, and what a signal leaves behind.
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

  /// Listens while `body` runs; afterwards signals mean what they meant before.
  static func listening<Result, Failure: Error>(
    _ body: () throws(Failure) -> Result
  ) throws(Failure) -> Result {
    var earlier: [Int32: sigaction] = [:]
    for number in [SIGINT, SIGTERM] {
      var action = sigaction()
      if sigaction(number, nil, &action) == 0 { earlier[number] = action }
    }
    listen()
    defer {
      for (number, action) in earlier {
        var action = action
        sigaction(number, &action, nil)
      }
    }
    return try body()
  }

  /// Sees to it that a signal that ends the process gives the terminal on standard output its plain letters back.
  static func resetTerminalAtEnd() {
    for number in [SIGINT, SIGQUIT, SIGTERM] {
      signal(number) { number in
        // Only what a signal handler may do: no allocation, no lock.
        let reset: (UInt8, UInt8, UInt8, UInt8) = (0x1B, 0x5B, 0x30, 0x6D)
        withUnsafeBytes(of: reset) { _ = write(STDOUT_FILENO, $0.baseAddress, $0.count) }
        signal(number, SIG_DFL)
        raise(number)
      }
    }
  }

  /// Whether a signal has come.
  static var isStopRequested: Bool { received.load(ordering: .relaxed) != 0 }

  /// 128 + the number of the signal that came.
  static var exitCode: Int32 { 128 + received.load(ordering: .relaxed) }
}
