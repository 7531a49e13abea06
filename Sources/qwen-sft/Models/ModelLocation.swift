// From what the user calls a model to its folder. Nothing is read from the network here.

import Files

/// Finding models on this machine.
package struct ModelLocation: Sendable {
  private let environment: Environment

  /// With the variables of `environment`.
  package init(environment: Environment) { self.environment = environment }

  /// With this process's environment.
  package static let current = ModelLocation(environment: .current)

  /// The folder of `model`: a folder, or a name in the Hugging Face cache.
  ///
  /// - Throws: ``CLIError/model(name:problem:)`` where there is neither.
  package func folder(of model: String) throws(CLIError) -> String {
    let path = environment.expanded(model)
    switch FileSystem.kind(of: path) {
    case .folder: return path
    case .file, .other:
      throw .model(
        name: model,
        problem: "expected a model folder or a name such as Qwen/Qwen3-4B, found a file")
    case nil: break
    }
    guard Self.isRepositoryName(model) else {
      throw .model(
        name: model,
        problem: "no such folder (expected a model folder or a name such as Qwen/Qwen3-4B)")
    }
    guard let cache = environment.huggingFaceCache() else {
      throw .model(
        name: model,
        problem: "no such folder, and the Hugging Face cache is unknown (set HF_HOME or HOME)")
    }
    guard let folder = try snapshot(of: model, in: cache) else {
      throw .model(
        name: model,
        problem: "no such folder, and not in the Hugging Face cache \(cache) "
          + "(download it there, or give a folder)")
    }
    return folder
  }

  /// The folder at `path`.
  ///
  /// - Throws: ``CLIError/model(name:problem:)`` where there is none, naming what was expected.
  package static func existingFolder(_ path: String, expecting: String) throws(CLIError) -> String {
    let expanded = Environment.current.expanded(path)
    switch FileSystem.kind(of: expanded) {
    case .folder: return expanded
    case nil: throw .model(name: path, problem: "no such folder (expected \(expecting))")
    default: throw .model(name: path, problem: "expected \(expecting), found a file")
    }
  }

  /// Whether `name` is that of a repository: `model` or `owner/model`.
  package static func isRepositoryName(_ name: String) -> Bool {
    let parts = name.utf8.split(separator: 0x2F, omittingEmptySubsequences: false)
    guard (1...2).contains(parts.count), name.utf8.count <= 96 else { return false }
    return parts.allSatisfy { part in
      guard let first = part.first, let last = part.last else { return false }
      let isPlain = part.allSatisfy { byte in
        isLetterOrDigit(byte) || byte == 0x2D || byte == 0x2E || byte == 0x5F
      }
      return isPlain && ![0x2D, 0x2E].contains(first) && ![0x2D, 0x2E].contains(last)
    }
  }

  private static func isLetterOrDigit(_ byte: UInt8) -> Bool {
    (0x30...0x39).contains(byte) || (0x41...0x5A).contains(byte) || (0x61...0x7A).contains(byte)
  }

  /// The newest snapshot of a repository's main branch in `cache`, nil where it is not there.
  private func snapshot(of name: String, in cache: String) throws(CLIError) -> String? {
    let parts = name.utf8.split(separator: 0x2F).map { String(decoding: $0, as: UTF8.self) }
    let repository = FileSystem.join(cache, (["models"] + parts).joined(separator: "--"))
    guard FileSystem.kind(of: repository) == .folder else { return nil }
    let reference = FileSystem.join(repository, "refs/main")
    guard FileSystem.kind(of: reference) == .file else { return nil }
    let commit: String
    do throws(FileError) {
      let text = try FileSystem.readText(reference, maximumByteCount: 4096)
      commit = String(decoding: text.utf8.prefix { Self.isLetterOrDigit($0) }, as: UTF8.self)
    } catch { throw .file(error) }
    guard !commit.isEmpty else {
      throw .model(name: name, problem: "\(reference): expected a commit, found none")
    }
    let folder = FileSystem.join(FileSystem.join(repository, "snapshots"), commit)
    guard FileSystem.kind(of: folder) == .folder else {
      throw .model(
        name: name,
        problem: "\(reference) names \(commit), but there is no \(folder) "
          + "(download the model again)")
    }
    return folder
  }
}
