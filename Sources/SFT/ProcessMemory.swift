// What the operating system says about this process's memory.

import Files
import Glibc

/// The memory of this process.
public enum ProcessMemory {
  /// The largest resident set so far, in bytes: heap, stack and mapped files that were touched.
  public static var peakResidentByteCount: Int {
    var usage = rusage()
    return getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage) == 0
      ? Int(usage.ru_maxrss) * 1024 : 0
  }

  /// The resident set now, in bytes; the largest so far where the system does not tell.
  public static var residentByteCount: Int { statm[1] ?? peakResidentByteCount }

  /// The part of the resident set that belongs to mapped files, in bytes; 0 where the system does not tell.
  package static var residentFileByteCount: Int { statm[2] ?? 0 }

  /// The fields of /proc/self/statm, in bytes.
  private static var statm: [Int: Int] {
    guard let text = try? FileSystem.readText("/proc/self/statm", maximumByteCount: 4096) else {
      return [:]
    }
    let pageSize = sysconf(Int32(_SC_PAGESIZE))
    var fields: [Int: Int] = [:]
    for (index, field) in text.split(separator: " ").enumerated() {
      if let pages = Int(field) { fields[index] = pages * pageSize }
    }
    return fields
  }
}
