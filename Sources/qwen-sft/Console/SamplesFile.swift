// samples.jsonl: what the model answers while it is trained, one answer a line.

import Files
import OrderedJSON
import SFT

/// The sampled answers of a run as a file. What cannot be written is said once and does not stop the run.
final class SamplesFile {
  private let file: AppendedFile
  private var hasBegun = false
  /// The answers of the steps before a resumed run, as they stand in the file.
  private(set) var earlier: [JSON] = []

  /// The file in `folder`.
  init(folder: String) { file = AppendedFile(path: FileSystem.join(folder, "samples.jsonl")) }

  /// Keeps what is there up to `step`, but for the answers of a result that was never written; 0 keeps nothing.
  func begin(after step: Int) {
    guard FileSystem.kind(of: file.path) == .file else { return }
    var kept: [UInt8] = []
    if step > 0 {
      let bytes: [UInt8]
      do throws(FileError) { bytes = try FileSystem.readFile(file.path) } catch {
        return file.fail(error.description)
      }
      for line in bytes.split(separator: 0x0A) {
        guard let json = try? JSON.parse(Array(line)), let at = json["step"]?.integerValue,
          at <= step, json["final"]?.boolValue != true
        else { continue }
        kept += line + [0x0A]
        earlier.append(json)
      }
    }
    file.begin(with: kept)
    hasBegun = true
  }

  /// Appends answers, but for those that a run which was killed thereafter has left in the file.
  func append(_ answers: [SampledAnswer]) {
    let answers = answers.filter { answer in
      answer.isFinal
        || !earlier.contains {
          $0["step"]?.integerValue == answer.step && $0["index"]?.integerValue == answer.index
        }
    }
    if !hasBegun { file.begin(with: []) }
    hasBegun = true
    file.append(Array(answers.map { $0.json.serialized() + "\n" }.joined().utf8))
  }
}
