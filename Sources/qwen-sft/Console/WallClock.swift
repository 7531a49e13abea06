// The time of day, for names and pages.

import Glibc

/// The wall clock.
package enum WallClock {
  /// Seconds since 1970.
  package static var now: Double {
    var time = timespec()
    clock_gettime(CLOCK_REALTIME, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
  }

  /// Local time in the form of strftime's `format`, in English.
  package static func text(_ format: String, at seconds: Double = now) -> String {
    var time = time_t(seconds)
    var parts = tm()
    localtime_r(&time, &parts)
    var bytes = [CChar](repeating: 0, count: 128)
    let count = strftime(&bytes, bytes.count, format, &parts)
    return String(decoding: bytes[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  /// The name of this machine, fit for a file's name.
  package static var hostName: String {
    var bytes = [CChar](repeating: 0, count: 256)
    guard gethostname(&bytes, bytes.count - 1) == 0 else { return "localhost" }
    let text = bytes.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }
    let name = String(decoding: text, as: UTF8.self)
    return name.isEmpty || name.contains("/") ? "localhost" : name
  }
}
