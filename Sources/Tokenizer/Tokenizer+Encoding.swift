// Text to tokens: added tokens out of the raw text, NFC, added tokens out of the normalised text,
// words, byte pairs. Parallel encoding of many texts is the caller's affair.

import Synchronization

/// The buffers of one encoding run.
struct EncodingWorkspace: Sendable {
  /// Buffers of the byte-pair encoder.
  var scratch = BytePairEncoder.Scratch()
  /// Tokens of words met before.
  var cache = WordCache()
}

extension Tokenizer {
  /// The token ids of a text. Added tokens in it become their ids; nothing is put before or after.
  public func encode(_ text: String) -> [Int32] {
    run(Array(text.utf8), keepingOffsets: false).ids
  }

  /// The token ids of a text in UTF-8, in which each maximal ill-formed part counts as U+FFFD.
  public func encode(utf8 bytes: [UInt8]) -> [Int32] {
    run(UTF8Text.repaired(bytes), keepingOffsets: false).ids
  }

  /// The token ids of a text and where each came from.
  public func encodeWithOffsets(_ text: String) -> Encoding {
    let (ids, offsets) = run(Array(text.utf8), keepingOffsets: true)
    return Encoding(ids: ids, offsets: offsets)
  }

  /// The token ids of a text in UTF-8 and where each came from.
  ///
  /// In ill-formed text each maximal ill-formed part counts as U+FFFD, and offsets count in the text
  /// with these replacements (three bytes each).
  public func encodeWithOffsets(utf8 bytes: [UInt8]) -> Encoding {
    let (ids, offsets) = run(UTF8Text.repaired(bytes), keepingOffsets: true)
    return Encoding(ids: ids, offsets: offsets)
  }

  /// What a text is cut into before byte-pair encoding: its NFC, split; added tokens are not sought.
  package func words(in text: String) -> [String] {
    var bytes = Array(text.utf8)
    if normalizes,
      let normalized = Normalization.composed(
        bytes, 0..<bytes.count, classes: classes, keepingSources: false)
    {
      bytes = normalized.bytes
    }
    var words: [String] = []
    var start = 0
    while start < bytes.count {
      let end = pattern.endOfWord(in: bytes, from: start, to: bytes.count, classes: classes)
      words.append(String(decoding: bytes[start..<end], as: UTF8.self))
      start = end
    }
    return words
  }

  private func run(_ text: [UInt8], keepingOffsets: Bool)
    -> (ids: [Int32], offsets: [Range<Int>])
  {
    let workspace = workspaces.withLock { $0.popLast() } ?? EncodingWorkspace()
    var run = EncodingRun(
      tokenizer: self, original: text, workspace: workspace, keepingOffsets: keepingOffsets)
    run.encode()
    let (ids, offsets, used) = (run.ids, run.offsets, run.workspace)
    // The run goes first, so that whoever takes the workspace next is its only owner.
    _ = consume run
    workspaces.withLock { $0.append(used) }
    return (ids, offsets)
  }
}
