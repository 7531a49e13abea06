// What goes into the output folder of a run beside the weights.

/// What goes into the output folder beside the weights.
public struct RunArtifacts: Sendable {
  /// The folder of the base model: its tokenizer and template are copied.
  public var modelDirectory: String
  /// The settings of the adapter; nil when all parameters are trained.
  public var adapter: AdapterConfig?

  /// What a run on the model in `modelDirectory` writes.
  public init(modelDirectory: String, adapter: AdapterConfig?) {
    self.modelDirectory = modelDirectory
    self.adapter = adapter
  }

  /// Files that make a tokenizer, copied where they exist.
  package static let tokenizerFiles = [
    "tokenizer.json", "tokenizer_config.json", "vocab.json", "merges.txt", "added_tokens.json",
    "special_tokens_map.json", "chat_template.jinja",
  ]
}
