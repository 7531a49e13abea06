// What the operating system says about this process's memory.

import Glibc

/// The memory of this process.
public enum ProcessMemory {
  /// The largest resident set so far, in bytes: heap, stack and mapped files that were touched.
  public static var peakResidentByteCount: Int {
    var usage = rusage()
    return getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage) == 0
      ? Int(usage.ru_maxrss) * 1024 : 0
  }
}
