// What rendering gives: the text, what the template marked as generated, and where each piece came from.

/// A rendered conversation.
public struct RenderedChat: Sendable {
  /// The text as UTF-8.
  public let utf8: [UInt8]
  /// UTF-8 offsets of `{% generation %}` blocks in order of rendering, as
  /// `return_assistant_tokens_mask` counts them. Empty blocks are empty ranges.
  public let generationSpans: [Range<Int>]
  /// Spans that cover the whole text in order, neighbours of one origin joined.
  public let spans: [SourceSpan]

  /// The text as a string.
  public var text: String { String(decoding: utf8, as: UTF8.self) }

  init(output: TextBuilder, generations: [Range<Int>], origins: OriginTable) {
    utf8 = output.bytes
    spans = origins.spans(output.stretches)
    generationSpans = Self.byteRanges(generations, in: output.text)
  }

  /// Ranges of code points as ranges of bytes, cut off at the end of the text.
  private static func byteRanges(_ ranges: [Range<Int>], in text: Text) -> [Range<Int>] {
    if ranges.isEmpty { return [] }
    if text.isASCII {
      let end = text.bytes.count
      return ranges.map { min($0.lowerBound, end)..<min($0.upperBound, end) }
    }
    let offsets = text.scalarOffsets
    let last = offsets.count - 1
    return ranges.map { offsets[min($0.lowerBound, last)]..<offsets[min($0.upperBound, last)] }
  }
}
