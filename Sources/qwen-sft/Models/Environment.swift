// The environment variables that say where files are kept. None of them changes a result.

import Files
import Glibc

/// Variables of this process's environment.
package struct Environment: Sendable {
  private let variable: @Sendable (String) -> String?

  /// An environment that answers with `variable`; empty values count as absent.
  package init(_ variable: @escaping @Sendable (String) -> String?) { self.variable = variable }

  /// This process's.
  package static let current = Environment { name in
    getenv(name).map { String(cString: $0) }
  }

  /// The value of `name`, nil where it is unset or empty.
  package subscript(_ name: String) -> String? {
    guard let value = variable(name), !value.isEmpty else { return nil }
    return value
  }

  /// Whether the locale's letters are those of Unicode, so that a terminal can be given others than ASCII.
  package var isUnicode: Bool {
    let locale = (self["LC_ALL"] ?? self["LC_CTYPE"] ?? self["LANG"] ?? "").lowercased()
    return locale.contains("utf-8") || locale.contains("utf8")
  }

  /// `path` with a leading `~` made the home folder.
  package func expanded(_ path: String) -> String {
    guard path.utf8.first == 0x7E, let home = self["HOME"] else { return path }
    if path.utf8.count == 1 { return home }
    guard path.utf8.dropFirst().first == 0x2F else { return path }
    return FileSystem.join(home, String(decoding: path.utf8.dropFirst(2), as: UTF8.self))
  }

  /// The folder in which this program keeps what it can make again.
  package func cacheFolder() throws(CLIError) -> String {
    if let folder = self["QWEN_SFT_CACHE"] { return expanded(folder) }
    if let folder = self["XDG_CACHE_HOME"] { return FileSystem.join(expanded(folder), "qwen-sft") }
    if let home = self["HOME"] { return FileSystem.join(home, ".cache/qwen-sft") }
    throw .noCacheFolder
  }

  /// The folder in which Hugging Face's libraries keep repositories, nil where no home is known.
  package func huggingFaceCache() -> String? {
    for name in ["HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"] {
      if let folder = self[name] { return expanded(folder) }
    }
    if let folder = self["HF_HOME"] { return FileSystem.join(expanded(folder), "hub") }
    if let folder = self["XDG_CACHE_HOME"] {
      return FileSystem.join(expanded(folder), "huggingface/hub")
    }
    return self["HOME"].map { FileSystem.join($0, ".cache/huggingface/hub") }
  }
}
