// The tokenizer of a model directory: loading and the questions about its tokens. Encoding and
// decoding are in Tokenizer+Encoding.swift and Tokenizer+Decoding.swift; chat templates are another
// module.

import Files
import Synchronization

/// A byte-level BPE tokenizer of the Qwen family, equal to Hugging Face `tokenizers` token by
/// token.
///
/// It may be used from many threads at once.
public final class Tokenizer: Sendable {
  let model: BytePairEncoder
  let pattern: SplitPattern
  let normalizes: Bool
  let trimsOffsets: Bool
  let added: AddedVocabulary
  let rawMatcher: AddedTokenMatcher
  let normalizedMatcher: AddedTokenMatcher
  let classes = UnicodeClasses.shared.flags
  /// Buffers and caches for encoding runs; a run takes one and gives it back.
  let workspaces = Mutex<[EncodingWorkspace]>([])

  /// The id of the token that ends a turn or a text (`eos_token` in tokenizer_config.json).
  public let eosTokenID: Int32?
  /// The id of the token that fills rows up (`pad_token`).
  public let padTokenID: Int32?
  /// The id of the token that begins a text (`bos_token`); encoding never adds it.
  public let bosTokenID: Int32?
  /// The token named in each role that tokenizer_config.json fills, such as "eos_token".
  public let roleTokens: [String: String]

  /// Loads tokenizer.json, or else vocab.json and merges.txt, and tokenizer_config.json if there is
  /// one.
  ///
  /// Where the two disagree on an added token's flags, tokenizer_config.json wins, as in
  /// transformers.
  ///
  /// - Throws: ``TokenizerError`` if files are missing or damaged, or ask for what is not implemented.
  public convenience init(directory: String) throws(TokenizerError) {
    let configFile = FileSystem.join(directory, "tokenizer_config.json")
    var config = TokenizerConfig()
    if let bytes = try Self.readIfThere(configFile) {
      config = try TokenizerConfig(bytes, file: configFile)
    }
    if config.splitsSpecialTokens {
      throw .unsupported(
        file: configFile, subject: "split_special_tokens", expected: "false", actual: "true",
        hint: "chat templates need special tokens to be found in text")
    }
    let file = FileSystem.join(directory, "tokenizer.json")
    if let bytes = try Self.readIfThere(file) {
      self.init(try TokenizerFile.read(bytes, file: file), config)
    } else {
      self.init(try Self.readVocabularyFiles(directory, config), config)
    }
  }

  init(_ parts: TokenizerParts, _ config: TokenizerConfig) {
    model = parts.model
    pattern = parts.pattern
    normalizes = parts.normalizes
    trimsOffsets = parts.trimsOffsets
    var added = AddedVocabulary()
    let vocabulary = parts.model.vocabulary
    for token in parts.addedTokens + config.addedTokens {
      added.add(token, vocabulary: vocabulary)
    }
    let named = TokenizerConfig.roleNames.compactMap { config.roles[$0] } + config.additional
    for token in named where added.id(of: Array(token.content.utf8)) == nil {
      added.add(token, vocabulary: vocabulary)
    }
    (rawMatcher, normalizedMatcher) = added.finish(
      normalizes: parts.normalizes, classes: UnicodeClasses.shared.flags)
    self.added = added
    let roleIDs = config.roles.compactMapValues { added.id(of: Array($0.content.utf8)) }
    eosTokenID = roleIDs["eos_token"]
    padTokenID = roleIDs["pad_token"]
    bosTokenID = roleIDs["bos_token"]
    roleTokens = config.roles.mapValues(\.content)
  }

  private static func readVocabularyFiles(_ directory: String, _ config: TokenizerConfig)
    throws(TokenizerError) -> TokenizerParts
  {
    let vocabularyFile = FileSystem.join(directory, "vocab.json")
    let mergesFile = FileSystem.join(directory, "merges.txt")
    guard let vocabularyBytes = try readIfThere(vocabularyFile),
      let mergesBytes = try readIfThere(mergesFile)
    else {
      throw .missing(
        directory: directory, expected: "tokenizer.json, or vocab.json with merges.txt",
        hint: "is this a model directory in Hugging Face layout?")
    }
    let vocabulary = try VocabularyFile.readVocabulary(vocabularyBytes, file: vocabularyFile)
    let merges = try VocabularyFile.readMerges(mergesBytes, vocabulary, file: mergesFile)
    let isQwen35 = config.tokenizerClass?.hasPrefix("Qwen3_5") ?? false
    return TokenizerParts(
      model: BytePairEncoder(vocabulary: vocabulary, merges: merges, ignoresMerges: false),
      pattern: isQwen35 ? .qwen35 : .qwen2, normalizes: true, trimsOffsets: false, addedTokens: [])
  }

  private static func readIfThere(_ file: String) throws(TokenizerError) -> [UInt8]? {
    do {
      return try FileSystem.readFile(file)
    } catch {
      if error.isNotFound { return nil }
      throw .unreadable(error)
    }
  }

  /// The number of different tokens, added ones included. Ids can be greater where some are unused.
  public var vocabularySize: Int { model.vocabulary.count + added.countBeyond(model.vocabulary) }

  /// The added tokens by id.
  public var addedTokens: [Int32: AddedToken] { added.tokens }

  /// The ids of the special tokens, which decoding can leave out, ascending.
  public var specialTokenIDs: [Int32] {
    added.tokens.filter(\.value.isSpecial).keys.sorted()
  }

  /// Whether decoding can leave the token out.
  public func isSpecial(_ id: Int32) -> Bool { added.tokens[id]?.isSpecial ?? false }

  /// The merges as pairs of strings in the vocabulary, the earliest first. A pair that a file names twice is where it was
  /// named last.
  public var merges: [(left: String, right: String)] {
    model.merges.orderedPairs.map { left, right in
      (string(left), string(right))
    }
  }

  /// The string of a token of the model's own vocabulary; empty where there is none.
  private func string(_ id: Int32) -> String {
    model.vocabulary.range(of: id).map {
      String(decoding: model.vocabulary.contents[$0], as: UTF8.self)
    } ?? ""
  }

  /// llama.cpp's name of the way text is cut into words.
  package var preTokenizerName: String {
    switch pattern {
    case .qwen2: "qwen2"
    case .qwen35: "qwen35"
    case .gpt2: "gpt-2"
    }
  }

  /// The id of a token given by its string in the vocabulary ("Ġthe" for " the"), or nil.
  public func tokenID(for token: String) -> Int32? {
    let content = Array(token.utf8)
    return added.id(of: content) ?? model.vocabulary.id(of: content)
  }

  /// The string of a token in the vocabulary ("Ġthe" for " the"), or nil if no token has the id.
  public func token(for id: Int32) -> String? {
    if let spelling = added.spellings[id] {
      return String(decoding: spelling.content, as: UTF8.self)
    }
    guard let range = model.vocabulary.range(of: id) else { return nil }
    return String(decoding: model.vocabulary.contents[range], as: UTF8.self)
  }
}
