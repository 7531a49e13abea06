// Reads tokenizer.json: the vocabulary and the merges straight from the bytes, the small parts
// through OrderedJSON. Everything that changes token ids is either implemented or refused here.

import OrderedJSON

/// What a tokenizer is made of, whichever files it came from.
struct TokenizerParts {
  /// Vocabulary and merges.
  var model: BytePairEncoder
  /// How text is cut into words.
  var pattern: SplitPattern
  /// Whether text is brought to NFC first.
  var normalizes: Bool
  /// Whether offsets leave out the spaces around a token.
  var trimsOffsets: Bool
  /// The added tokens in the order they are added.
  var addedTokens: [AddedToken]
}

/// The reader of one tokenizer.json.
struct TokenizerFile {
  private let file: String
  private var scanner: JSONByteScanner
  private var parts: [String: JSON] = [:]
  private var modelParts: [String: JSON] = [:]
  private var vocabulary: Vocabulary?
  private var mergesStart: Int?

  /// Reads the bytes of a tokenizer.json.
  static func read(_ bytes: [UInt8], file: String) throws(TokenizerError) -> TokenizerParts {
    guard UTF8Text.isWellFormed(bytes) else {
      throw .malformed(
        file: file, subject: "text", expected: "UTF-8", actual: "other bytes",
        hint: "is the file damaged or packed?")
    }
    var reader = TokenizerFile(bytes, file: file)
    return try reader.read()
  }

  private init(_ bytes: [UInt8], file: String) {
    self.file = file
    scanner = JSONByteScanner(bytes, file: file)
  }

  private mutating func read() throws(TokenizerError) -> TokenizerParts {
    try scanner.expect("{", "tokenizer")
    var isFirst = true
    while try scanner.next(isFirst: isFirst, closing: "}", "tokenizer") {
      isFirst = false
      let key = try readKey("tokenizer")
      if key == "model" {
        try readModel()
      } else {
        parts[key] = try readSmallValue(key)
      }
    }
    if scanner.peek() != nil { throw scanner.fault("tokenizer", "the end of the file") }
    try checkModel()
    guard let vocabulary else {
      throw .malformed(
        file: file, subject: "model", expected: "a vocabulary", actual: "none",
        hint: "is this a tokenizer.json?")
    }
    let merges = try readMerges(vocabulary)
    let model = BytePairEncoder(
      vocabulary: vocabulary, merges: merges,
      ignoresMerges: modelParts["ignore_merges"]?.boolValue ?? false)
    try checkMissingBytes(model)
    let pipeline = TokenizerPipeline(parts, file: file)
    try pipeline.checkDecoder()
    return TokenizerParts(
      model: model, pattern: try pipeline.pattern(), normalizes: try pipeline.normalizes(),
      trimsOffsets: try pipeline.trimsOffsets(), addedTokens: try pipeline.addedTokens())
  }

  private mutating func readKey(_ subject: String) throws(TokenizerError) -> String {
    var key: [UInt8] = []
    try scanner.string(into: &key, subject)
    try scanner.expect(":", subject)
    return String(decoding: key, as: UTF8.self)
  }

  private mutating func readSmallValue(_ key: String) throws(TokenizerError) -> JSON {
    let range = try scanner.skipValue(key)
    do {
      return try JSON.parse(scanner.bytes[range])
    } catch {
      throw .malformed(
        file: file, subject: "\(key), byte \(range.lowerBound)", expected: "JSON",
        actual: error.message, hint: "counted from there: \(error.position)")
    }
  }

  private mutating func readModel() throws(TokenizerError) {
    try scanner.expect("{", "model")
    var isFirst = true
    while try scanner.next(isFirst: isFirst, closing: "}", "model") {
      isFirst = false
      let key = try readKey("model")
      switch key {
      case "vocab":
        vocabulary = try VocabularyFile.readVocabulary(&scanner, file: file)
      case "merges":
        // Their tokens are in the vocabulary, which may come later.
        mergesStart = try scanner.skipValue("merges").lowerBound
      default: modelParts[key] = try readSmallValue("model.\(key)")
      }
    }
  }

  private mutating func readMerges(_ vocabulary: Vocabulary) throws(TokenizerError) -> MergeTable {
    guard let mergesStart else {
      throw .malformed(
        file: file, subject: "model", expected: "merges", actual: "none",
        hint: "is this a byte-pair tokenizer?")
    }
    scanner.move(to: mergesStart)
    return try VocabularyFile.readMerges(&scanner, vocabulary, file: file)
  }

  private func checkModel() throws(TokenizerError) {
    let type = modelParts["type"] ?? .string("BPE")
    guard type == "BPE" else {
      throw .unsupported(
        file: file, subject: "model.type", expected: "BPE", actual: Self.text(type),
        hint: "only byte-level BPE is implemented")
    }
    for key in ["continuing_subword_prefix", "end_of_word_suffix"] {
      let value = modelParts[key] ?? .null
      guard value.isNull || value == "" else {
        throw .unsupported(
          file: file, subject: "model.\(key)", expected: "none", actual: Self.text(value),
          hint: "only byte-level BPE is implemented")
      }
    }
    let dropout = modelParts["dropout"] ?? .null
    guard dropout.isNull || dropout.doubleValue == 0 else {
      throw .unsupported(
        file: file, subject: "model.dropout", expected: "none", actual: Self.text(dropout),
        hint: "encoding has no chance in it")
    }
  }

  /// With a token for every byte, `unk_token` and `byte_fallback` have no effect.
  private func checkMissingBytes(_ model: BytePairEncoder) throws(TokenizerError) {
    if model.missingBytes.isEmpty { return }
    for key in ["unk_token", "byte_fallback"] {
      let value = modelParts[key] ?? .null
      guard value.isNull || value == false else {
        throw .unsupported(
          file: file, subject: "model.\(key)", expected: "a token for every byte",
          actual: "\(model.missingBytes.count) bytes without one",
          hint: "unknown bytes cannot become \(Self.text(value))")
      }
    }
  }

  /// A value as it stands in a message.
  static func text(_ value: JSON) -> String {
    let text = value.serialized()
    return text.utf8.count <= 200 ? text : value.kindDescription
  }
}
