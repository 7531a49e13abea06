// A folder for one test, removed afterwards.

import Files

/// A fresh folder in /tmp, removed with all it holds when the object goes.
final class TestFolder {
  let path = FileSystem.join("/tmp", FileSystem.temporaryName(prefix: "qwen-sft-test-"))

  init() throws { try FileSystem.makeFolder(path) }

  deinit { try? FileSystem.remove(path) }

  /// The path of `name` inside.
  func callAsFunction(_ name: String) -> String { FileSystem.join(path, name) }

  /// The names inside, hidden ones included.
  func names() throws -> [String] { try FileSystem.list(path).map(\.name) }
}
