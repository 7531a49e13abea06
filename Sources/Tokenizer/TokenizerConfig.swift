// Reads tokenizer_config.json: which tokens begin, end and pad, and added tokens that
// tokenizer.json lacks. The chat template in it is not this module's business.

import OrderedJSON

/// What a tokenizer_config.json says about tokens.
struct TokenizerConfig {
  /// The entries of `added_tokens_decoder` by ascending id.
  var addedTokens: [AddedToken] = []
  /// The token of each role, such as "eos_token", where one is named.
  var roles: [String: AddedToken] = [:]
  /// Further special tokens, from `additional_special_tokens` and `extra_special_tokens`.
  var additional: [AddedToken] = []
  /// Whether the text of special tokens is encoded like any other.
  var splitsSpecialTokens = false
  /// The name of the tokenizer's class.
  var tokenizerClass: String?

  /// The roles that a token can have.
  static let roleNames = [
    "bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token",
  ]

  /// What holds without a file.
  init() {}

  /// Reads the bytes of a tokenizer_config.json.
  init(_ bytes: [UInt8], file: String) throws(TokenizerError) {
    let root: JSON
    do {
      root = try JSON.parse(bytes)
    } catch {
      throw .malformed(
        file: file, subject: "text", expected: "JSON", actual: error.message,
        hint: "\(error.position)")
    }
    guard root.objectValue != nil else {
      throw .malformed(
        file: file, subject: "text", expected: "an object", actual: root.kindDescription,
        hint: "is this a tokenizer_config.json?")
    }
    try readAddedTokens(root["added_tokens_decoder"] ?? .null, file: file)
    for role in Self.roleNames {
      roles[role] = try Self.specialToken(root[role] ?? .null, subject: role, file: file)
    }
    for key in ["additional_special_tokens", "extra_special_tokens"] {
      let value = root[key] ?? .null
      let list = value.arrayValue ?? value.objectValue?.values ?? []
      for (index, entry) in list.enumerated() {
        let subject = "\(key)[\(index)]"
        if let token = try Self.specialToken(entry, subject: subject, file: file) {
          additional.append(token)
        }
      }
    }
    splitsSpecialTokens = root["split_special_tokens"]?.boolValue ?? false
    tokenizerClass = root["tokenizer_class"]?.stringValue
  }

  private mutating func readAddedTokens(_ value: JSON, file: String) throws(TokenizerError) {
    if value.isNull { return }
    let subject = "added_tokens_decoder"
    guard let object = value.objectValue else {
      throw .malformed(
        file: file, subject: subject, expected: "an object", actual: value.kindDescription,
        hint: "is the file damaged?")
    }
    var entries: [(id: Int, token: AddedToken)] = []
    for (key, entry) in object {
      guard let id = Int(key) else {
        throw .malformed(
          file: file, subject: subject, expected: "ids as keys", actual: key.debugDescription,
          hint: "is the file damaged?")
      }
      entries.append((id, try AddedToken(entry, subject: "\(subject).\(key)", file: file)))
    }
    addedTokens = entries.sorted { $0.id < $1.id }.map(\.token)
  }

  /// A token named by its text or by an object with `content`; nil for null.
  private static func specialToken(_ value: JSON, subject: String, file: String)
    throws(TokenizerError) -> AddedToken?
  {
    if value.isNull { return nil }
    if let text = value.stringValue {
      let content = JSON.object(["content": .string(text), "special": true])
      return try AddedToken(content, subject: subject, file: file)
    }
    var token = try AddedToken(value, subject: subject, file: file)
    token.isSpecial = true
    return token
  }
}
