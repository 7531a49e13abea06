// Where a download stands, in words. Plain values in, text out.

import Hub

/// The progress of a download.
package struct DownloadProgress: Sendable {
  private var fileCount = 0
  private var byteCount = 0
  private var presentByteCount = 0
  private var currentByteCount = 0
  private var filesDone = 0
  private var seconds = 0.0

  /// A download of nothing.
  package init() {}

  /// A download of so many files and bytes, some of which are here.
  package init(fileCount: Int, byteCount: Int, presentByteCount: Int) {
    (self.fileCount, self.byteCount) = (fileCount, byteCount)
    self.presentByteCount = presentByteCount
    currentByteCount = presentByteCount
  }

  /// Takes note of the bytes and files that are here, so many seconds after the start.
  package mutating func update(byteCount: Int, filesDone: Int, seconds: Double) {
    (currentByteCount, self.filesDone, self.seconds) = (byteCount, filesDone, seconds)
  }

  /// One terminal row of fewer than `columnCount` columns.
  package func row(columnCount: Int) -> String {
    let head = "\(filesDone)/\(fileCount) files "
    let fetched = currentByteCount - presentByteCount
    let perSecond = seconds > 0.5 && fetched > 0 ? Double(fetched) / seconds : 0
    var tail = " \(byteText(max(0, currentByteCount))) of \(byteText(byteCount))"
    if perSecond > 0 {
      tail += ", \(byteText(Int(perSecond)))/s"
      tail += ", \(duration(Double(max(0, byteCount - currentByteCount)) / perSecond)) left"
    }
    let available = columnCount - 1 - head.utf8.count - tail.utf8.count
    guard available >= 7 else { return String((head + tail).prefix(max(0, columnCount - 1))) }
    let width = min(available - 2, 40)
    let share =
      byteCount > 0 ? min(1, max(0, Double(currentByteCount) / Double(byteCount))) : 0
    let filled = Int(share * Double(width))
    let bar = String(repeating: "#", count: filled) + String(repeating: "-", count: width - filled)
    return head + "[\(bar)]" + tail
  }
}
