// A file that grows while a run goes on: whole pieces only. What cannot be written is said once and stops nothing.

import Files
import Glibc

/// A log that is appended to.
package final class AppendedFile {
  /// Where it is.
  package let path: String
  private var hasFailed = false

  /// The file at `path`, which stays as it is until ``begin(with:)``.
  package init(path: String) { self.path = path }

  /// Begins the file anew with `bytes`.
  package func begin(with bytes: [UInt8]) {
    do throws(FileError) { try AtomicFile.write(bytes, to: path) } catch {
      fail(error.description)
    }
  }

  /// Appends `bytes`, all of them or none.
  package func append(_ bytes: [UInt8]) {
    guard !hasFailed else { return }
    let descriptor = open(path, O_WRONLY | O_APPEND | O_CLOEXEC)
    guard descriptor >= 0 else { return fail(errno) }
    defer { close(descriptor) }
    let size = lseek(descriptor, 0, SEEK_END)
    let code = writeAll(bytes, to: descriptor)
    if code != 0 {
      if size >= 0 { _ = ftruncate(descriptor, size) }
      fail(code)
    }
  }

  private func fail(_ code: Int32) {
    fail("\(path): cannot write: \(String(cString: strerror(code)))")
  }

  /// Says that the file goes no further, once.
  package func fail(_ problem: String) {
    if !hasFailed { Diagnostics.notice("\(problem); the run goes on without it") }
    hasFailed = true
  }
}
