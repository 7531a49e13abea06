// Which files of a repository are fetched.

/// A choice of files.
package struct FileSelection: Sendable, Hashable {
  /// What the files are for, where nothing is said of their names.
  package var need: ModelNeed
  /// Patterns of the files that are wanted; empty for those that are needed.
  package var include: [String]
  /// Patterns of files that are not wanted.
  package var exclude: [String]

  /// The file that tells in which file each tensor is.
  static let indexName = "model.safetensors.index.json"

  /// Files beside the weights that this program or transformers reads, where there are such.
  static let companions = [
    "config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json",
    "vocab.json", "merges.txt", "added_tokens.json", "special_tokens_map.json",
    "chat_template.jinja", "chat_template.json",
  ]

  /// The files of an adapter.
  static let adapterFiles = ["adapter_config.json", "adapter_model.safetensors"]

  /// A choice by need, or by patterns.
  package init(need: ModelNeed = .model, include: [String] = [], exclude: [String] = []) {
    (self.need, self.include, self.exclude) = (need, include, exclude)
  }

  /// The chosen files of a repository, in its order.
  ///
  /// - Throws: ``HubError/nothingSelected(repository:reason:)`` where none is, or no weights that can be read; and
  ///   ``HubError/unsafeFileName(repository:file:problem:)`` where two cannot stand beside each other.
  package func files(of listing: RepositoryListing, in repository: RepositoryName) throws(HubError)
    -> [HubFile]
  {
    let (wanted, unwanted) = (include.map { FilePattern($0) }, exclude.map { FilePattern($0) })
    let hasStandardWeights = listing.files.contains { Self.isWeights($0.path) }
    let files = listing.files.filter { file in
      let isWanted =
        include.isEmpty
        ? isNeeded(file.path, hasStandardWeights: hasStandardWeights)
        : wanted.contains { $0.matches(file.path) }
      return isWanted && !unwanted.contains { $0.matches(file.path) }
    }
    let name = repository.description
    if include.isEmpty, exclude.isEmpty, need == .model,
      !files.contains(where: { $0.path.hasSuffix(".safetensors") }),
      let other = listing.files.first(where: { Self.isForeignWeights($0.path) })
    {
      throw .nothingSelected(
        repository: name,
        reason: "expected weights as safetensors, found \(other.path) "
          + "(this program reads safetensors alone; --include fetches other files)")
    }
    guard !files.isEmpty else {
      throw .nothingSelected(
        repository: name,
        reason: include.isEmpty && exclude.isEmpty
          ? "it has none of the files of \(need == .adapter ? "an adapter" : "a model")"
          : "no file fits --include and --exclude")
    }
    try checkNeighbours(files, in: name)
    return files
  }

  /// Names of companions that `listing` lacks.
  static func missingCompanions(in listing: RepositoryListing) -> [String] {
    let names = Set(listing.files.map(\.path))
    return companions.filter { !names.contains($0) }
  }

  private func isNeeded(_ path: String, hasStandardWeights: Bool) -> Bool {
    switch need {
    case .adapter: return Self.adapterFiles.contains(path)
    case .tokenizer: return Self.isCompanion(path)
    case .model:
      if Self.isCompanion(path) || Self.adapterFiles.contains(path) { return true }
      if path == Self.indexName { return true }
      return hasStandardWeights
        ? Self.isWeights(path) : path.hasSuffix(".safetensors") && !path.contains("/")
    }
  }

  private static func isCompanion(_ path: String) -> Bool {
    companions.contains(path)
      || (path.hasPrefix("additional_chat_templates/") && path.hasSuffix(".jinja"))
  }

  /// `model.safetensors`, or `model-00001-of-00003.safetensors`.
  private static func isWeights(_ path: String) -> Bool {
    path == "model.safetensors"
      || (path.hasPrefix("model-") && path.hasSuffix(".safetensors") && !path.contains("/"))
  }

  /// Weights in forms that this program does not read, those of pickle among them, which can run code.
  private static func isForeignWeights(_ path: String) -> Bool {
    [".bin", ".pth", ".pt", ".ckpt", ".gguf", ".onnx", ".h5", ".msgpack"].contains {
      path.lowercased().hasSuffix($0)
    }
  }

  /// Refuses names that differ in case alone, and files where others have a folder.
  private func checkNeighbours(_ files: [HubFile], in repository: String) throws(HubError) {
    var seen: [String: String] = [:]
    for file in files {
      if let other = seen.updateValue(file.path, forKey: file.path.lowercased()) {
        throw .unsafeFileName(
          repository: repository, file: file.path,
          problem: "it differs from \(other.debugDescription) in case alone")
      }
    }
    for file in files {
      var parts = file.path.lowercased().split(separator: "/")
      while parts.count > 1 {
        parts.removeLast()
        if let other = seen[parts.joined(separator: "/")] {
          throw .unsafeFileName(
            repository: repository, file: file.path,
            problem: "it lies in \(other.debugDescription), which is a file")
        }
      }
    }
  }
}
