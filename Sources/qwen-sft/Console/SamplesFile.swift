// samples.jsonl: what the model answers while it is trained, one answer a line.

import Files
import Glibc
import OrderedJSON
import SFT

/// The sampled answers of a run as a file. What cannot be written is said once and does not stop the run.
final class SamplesFile {
  private let path: String
  /// Lines of the steps before a resumed run.
  private var earlier: [UInt8] = []
  private var hasBegun = false
  private var hasFailed = false

  /// The file in `folder`.
  init(folder: String) { path = FileSystem.join(folder, "samples.jsonl") }

  /// Keeps what is there up to `step`, but for the answers of a result that was never written; 0 keeps nothing.
  func begin(after step: Int) {
    guard FileSystem.kind(of: path) == .file else { return }
    do throws(FileError) {
      if step > 0 {
        let bytes = try FileSystem.readFile(path)
        for line in bytes.split(separator: 0x0A) {
          guard let json = try? JSON.parse(Array(line)), let at = json["step"]?.integerValue,
            at <= step, json["final"]?.boolValue != true
          else { continue }
          earlier += line + [0x0A]
        }
      }
      try AtomicFile.write(earlier, to: path)
      hasBegun = true
    } catch {
      fail(error.description)
    }
  }

  /// Appends answers.
  func append(_ answers: [SampledAnswer]) {
    guard !hasFailed else { return }
    do throws(FileError) {
      if !hasBegun { try AtomicFile.write("", to: path) }
      hasBegun = true
    } catch { return fail(error.description) }
    let text = answers.map { $0.json.serialized() + "\n" }.joined()
    let descriptor = open(path, O_WRONLY | O_APPEND | O_CLOEXEC)
    guard descriptor >= 0 else { return fail(String(cString: strerror(errno))) }
    defer { close(descriptor) }
    let size = lseek(descriptor, 0, SEEK_END)
    let code = writeAll(Array(text.utf8), to: descriptor)
    if code != 0 {
      if size >= 0 { _ = ftruncate(descriptor, size) }
      fail(String(cString: strerror(code)))
    }
  }

  private func fail(_ problem: String) {
    if !hasFailed { Diagnostics.notice("\(path): \(problem); the run goes on without it") }
    hasFailed = true
  }
}
