// The steps around the model as tokenizer.json names them: normaliser, splitting, post-processing,
// decoder. Each is recognised or refused; none is run here.

import OrderedJSON

/// The small parts of a tokenizer.json.
struct TokenizerPipeline {
  private let parts: [String: JSON]
  private let file: String

  /// The parts by key.
  init(_ parts: [String: JSON], file: String) {
    self.parts = parts
    self.file = file
  }

  /// Whether the normaliser is NFC; null is none.
  func normalizes() throws(TokenizerError) -> Bool {
    let value = parts["normalizer"] ?? .null
    var steps = [value]
    if value["type"] == "Sequence" { steps = value["normalizers"]?.arrayValue ?? [value] }
    var result = false
    for step in steps where !step.isNull {
      guard step["type"] == "NFC" else {
        throw unsupported("normalizer", "NFC or null", value)
      }
      result = true
    }
    return result
  }

  /// The split pattern of the pre-tokenizer.
  func pattern() throws(TokenizerError) -> SplitPattern {
    let value = parts["pre_tokenizer"] ?? .null
    let expected = "Split by the Qwen pattern and ByteLevel, or ByteLevel alone"
    var steps = [value]
    if value["type"] == "Sequence" { steps = value["pretokenizers"]?.arrayValue ?? [] }
    guard let last = steps.last, last["type"] == "ByteLevel", steps.count <= 2 else {
      throw unsupported("pre_tokenizer", expected, value)
    }
    guard last["add_prefix_space"] == false else {
      throw unsupported("pre_tokenizer.add_prefix_space", "false", last)
    }
    // A missing use_regex means true, as in `tokenizers`.
    let usesRegex = last["use_regex"]?.boolValue ?? true
    if steps.count == 1 {
      guard usesRegex else { throw unsupported("pre_tokenizer", expected, value) }
      return .gpt2
    }
    let split = steps[0]
    guard !usesRegex, split["type"] == "Split", split["behavior"] == "Isolated",
      split["invert"]?.boolValue != true
    else { throw unsupported("pre_tokenizer", expected, value) }
    guard let expression = split["pattern"]?["Regex"]?.stringValue,
      let pattern = SplitPattern(expression: expression)
    else { throw unsupported("pre_tokenizer.pattern", "the pattern of Qwen 2, 3 or 3.5", split) }
    return pattern
  }

  /// Whether the post-processor trims offsets; it may do nothing else.
  func trimsOffsets() throws(TokenizerError) -> Bool {
    let value = parts["post_processor"] ?? .null
    if value.isNull { return false }
    guard value["type"] == "ByteLevel" else {
      throw unsupported("post_processor", "ByteLevel or null", value)
    }
    // A missing trim_offsets means true, as in `tokenizers`.
    let trims = value["trim_offsets"]?.boolValue ?? true
    guard !trims || value["add_prefix_space"] == false else {
      throw unsupported("post_processor.add_prefix_space", "false", value)
    }
    return trims
  }

  /// Refuses any decoder but the byte-level one.
  func checkDecoder() throws(TokenizerError) {
    let value = parts["decoder"] ?? .null
    guard value["type"] == "ByteLevel" else { throw unsupported("decoder", "ByteLevel", value) }
  }

  /// The added tokens in file order.
  func addedTokens() throws(TokenizerError) -> [AddedToken] {
    let value = parts["added_tokens"] ?? .null
    if value.isNull { return [] }
    guard let list = value.arrayValue else {
      throw .malformed(
        file: file, subject: "added_tokens", expected: "an array",
        actual: value.kindDescription, hint: "is the file damaged?")
    }
    var tokens: [AddedToken] = []
    for (index, entry) in list.enumerated() {
      let subject = "added_tokens[\(index)]"
      try checkFields(entry, subject)
      tokens.append(try AddedToken(entry, subject: subject, file: file))
    }
    return tokens
  }

  /// Refuses an added token that `tokenizers` cannot read: each must have an id and all flags.
  ///
  /// The id has no other use: ids are given out by the order of the tokens, in `tokenizers` as here.
  private func checkFields(_ entry: JSON, _ subject: String) throws(TokenizerError) {
    guard entry.objectValue != nil else { return }
    guard let id = entry["id"]?.integerValue, UInt32(exactly: id) != nil else {
      throw .malformed(
        file: file, subject: "\(subject).id", expected: "an integer of 0 to \(UInt32.max)",
        actual: entry["id"].map(TokenizerFile.text) ?? "nothing", hint: "is the file damaged?")
    }
    for flag in ["single_word", "lstrip", "rstrip", "normalized", "special"]
    where entry[flag]?.boolValue == nil {
      throw .malformed(
        file: file, subject: "\(subject).\(flag)", expected: "true or false",
        actual: entry[flag].map(TokenizerFile.text) ?? "nothing", hint: "is the file damaged?")
    }
  }

  private func unsupported(_ subject: String, _ expected: String, _ value: JSON) -> TokenizerError {
    .unsupported(
      file: file, subject: subject, expected: expected, actual: TokenizerFile.text(value),
      hint: "other tokenizers would give other tokens than the model was trained with")
  }
}

extension AddedToken {
  /// Greatest length of an added token's text: finding one takes time with its length.
  static let maximumByteCount = 4096

  /// An added token as tokenizer.json and tokenizer_config.json write it: an object with `content`
  /// and flags. In the latter a missing flag is false, and a missing `normalized` the opposite of `special`.
  init(_ value: JSON, subject: String, file: String) throws(TokenizerError) {
    guard let content = value["content"]?.stringValue else {
      throw .malformed(
        file: file, subject: subject, expected: "an object with \"content\"",
        actual: TokenizerFile.text(value), hint: "is the file damaged?")
    }
    guard content.utf8.count <= Self.maximumByteCount else {
      throw .malformed(
        file: file, subject: subject, expected: "at most \(Self.maximumByteCount) bytes",
        actual: "\(content.utf8.count)", hint: "is this meant to be one token?")
    }
    let isSpecial = value["special"]?.boolValue ?? false
    self.init(
      content: content, isSpecial: isSpecial,
      isNormalized: value["normalized"]?.boolValue ?? !isSpecial,
      lstrip: value["lstrip"]?.boolValue ?? false, rstrip: value["rstrip"]?.boolValue ?? false,
      isSingleWord: value["single_word"]?.boolValue ?? false)
  }
}
