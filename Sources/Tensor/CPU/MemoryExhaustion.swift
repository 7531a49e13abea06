// What happens when the system has no memory left. A kernel has nobody to throw to: the process ends, and says why.

import Synchronization

/// The end of a process for which there is no memory.
package enum MemoryExhaustion {
  /// Says what happened, with the number of bytes that were asked for, and ends the process.
  package typealias Ending = @Sendable (_ byteCount: Int) -> Never

  private static let ending = Mutex<Ending?>(nil)

  /// Sets how the process ends; without it, it traps. The ending runs on the thread that found no memory, beside others.
  package static func setEnding(_ ending: @escaping Ending) {
    Self.ending.withLock { $0 = ending }
  }

  /// Ends the process for want of `byteCount` bytes.
  static func end(wanting byteCount: Int) -> Never {
    if let ending = ending.withLock({ $0 }) { ending(byteCount) }
    preconditionFailure("out of memory: the system has no \(byteCount) bytes left")
  }
}
