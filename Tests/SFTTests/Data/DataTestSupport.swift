// What the tests of the data layer share.

import Files
import OrderedJSON
import SFT
import Testing
import Tokenizer

#if canImport(Glibc)
  import Glibc
#else
  import Darwin
#endif

enum DataTest {
  /// The root of the package.
  static let root: String = {
    var path = #filePath
    for _ in 0..<4 { path = FileSystem.parent(of: path) }
    return path
  }()

  /// The demo model's folder: a small tokenizer in Qwen's format.
  static let demoModel = FileSystem.join(root, "Fixtures/demo-model")

  /// The demo model's tokenizer.
  static let tokenizer = Result { try Tokenizer(directory: demoModel) }

  /// An encoder of `template` with the demo model's tokenizer.
  static func encoder(_ template: String) throws -> ConversationEncoder {
    try ConversationEncoder(
      tokenizer: tokenizer.get(),
      templates: ChatTemplateSource(
        templates: [.init(text: template, path: "test.jinja")], folder: "test"))
  }

  /// A conversation of (role, content).
  static func conversation(_ turns: [(String, String)]) -> Conversation {
    Conversation(
      messages: turns.map { ["role": .string($0.0), "content": .string($0.1)] }, file: "t.jsonl",
      line: 1)
  }

  /// The trained tokens as text, one element for each run of neighbours.
  static func trainedText(_ row: EncodedRow) throws -> [String] {
    var runs: [[Int32]] = []
    var isInRun = false
    for (id, label) in zip(row.inputIDs, row.labels) {
      if label == EncodedRow.ignoredLabel {
        isInRun = false
        continue
      }
      #expect(label == id)
      if !isInRun { runs.append([]) }
      isInRun = true
      runs[runs.count - 1].append(id)
    }
    return try runs.map { try tokenizer.get().decode($0) }
  }

  /// A template in the plain form of Qwen's.
  static let plainTemplate =
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}{% endfor %}"

  /// A template that leaves the last turn open, as Qwen1.5's.
  static let openTemplate =
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' + m.content }}"
    + "{% if not loop.last %}{{ '<|im_end|>\\n' }}{% endif %}{% endfor %}"

  /// A template that marks what the assistant says.
  static let generationTemplate =
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' }}"
    + "{% if m.role == 'assistant' %}{% generation %}{{ m.content }}{% endgeneration %}"
    + "{% else %}{{ m.content }}{% endif %}{{ '<|im_end|>\\n' }}{% endfor %}"
}

/// The folder of shared test data, which is not part of the repository.
enum SharedTestData {
  /// `QWEN_SFT_SHARED`, else `shared` beside the package root.
  static let folder: String = {
    if let value = getenv("QWEN_SFT_SHARED") { return String(cString: value) }
    return FileSystem.join(FileSystem.parent(of: DataTest.root), "shared")
  }()

  static let isThere = FileSystem.kind(of: FileSystem.join(folder, "data")) == .folder

  static let hint: Comment = "needs the shared test data: set QWEN_SFT_SHARED to its folder"
}

/// A fresh folder in /tmp, removed with all it holds when the object goes.
final class DataTestFolder {
  let path = FileSystem.join("/tmp", FileSystem.temporaryName(prefix: "qwen-sft-test-"))

  init() throws { try FileSystem.makeFolder(path) }

  deinit { try? FileSystem.remove(path) }

  /// Writes `text` to `name` inside and returns the path.
  @discardableResult
  func write(_ text: String, _ name: String) throws -> String {
    let file = FileSystem.join(path, name)
    try FileSystem.makeFolder(FileSystem.parent(of: file))
    try AtomicFile.write(text, to: file)
    return file
  }
}
