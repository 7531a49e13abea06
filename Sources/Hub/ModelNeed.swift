// What of a repository a command cannot do without, and whether a folder has it.

import Files
import OrderedJSON

/// What is needed of a repository.
package enum ModelNeed: Sendable, Hashable, CaseIterable {
  /// Configuration, weights and tokenizer.
  case model
  /// Tokenizer and template alone.
  case tokenizer
  /// A LoRA adapter.
  case adapter

  /// Whether `folder` has all of it.
  package func isMet(in folder: String) -> Bool {
    func has(_ name: String) -> Bool { FileSystem.kind(of: FileSystem.join(folder, name)) == .file }
    let hasTokenizer = has("tokenizer.json") || (has("vocab.json") && has("merges.txt"))
    switch self {
    case .tokenizer: return hasTokenizer
    case .adapter: return has("adapter_config.json") && has("adapter_model.safetensors")
    case .model:
      guard hasTokenizer, has("config.json") else { return false }
      return has("model.safetensors") || Self.hasShards(folder)
    }
  }

  /// Whether there is an index and every file that it names. What is wrong with an index is for its reader to say.
  private static func hasShards(_ folder: String) -> Bool {
    let path = FileSystem.join(folder, FileSelection.indexName)
    guard FileSystem.kind(of: path) == .file else { return false }
    guard let bytes = try? FileSystem.readFile(path, maximumByteCount: 1 << 27),
      let index = try? JSON.parse(bytes), let map = index["weight_map"]?.objectValue
    else { return true }
    let shards = Set(map.values.compactMap(\.stringValue))
    return shards.allSatisfy { name in
      HubFile.problem(withPath: name) == nil
        && FileSystem.kind(of: FileSystem.join(folder, name)) == .file
    }
  }
}
