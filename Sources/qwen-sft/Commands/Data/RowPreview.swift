// A row in pieces, trained and not, as terminal text. The page of several rows is PreviewPage's.

import SFT
import Tokenizer

/// The text of a row, cut where training begins and ends.
struct RowPreview {
  /// Neighbouring tokens that are all trained or all not.
  struct Piece: Equatable {
    /// Their text.
    var text: String
    /// Whether they are trained.
    var isTrained: Bool
  }

  /// A token, or several that share a character.
  struct TokenText: Equatable {
    /// The place of the first in the row, from 0.
    var index: Int
    /// Their ids.
    var ids: [Int32]
    /// Their text; U+FFFD for bytes that are no character.
    var text: String
    /// Whether they are trained.
    var isTrained: Bool
    /// Whether it is a special token.
    var isSpecial: Bool
  }

  /// The pieces in order.
  let pieces: [Piece]
  /// The tokens in order.
  let tokens: [TokenText]
  /// "row 3 (data.jsonl:4): 120 tokens, 30 trained".
  let title: String

  /// The row with its place among the rows, from 0.
  init(_ row: EncodedRow, index: Int, tokenizer: Tokenizer) {
    var pieces: [Piece] = []
    var start = 0
    let isTrained = row.labels.map { $0 != EncodedRow.ignoredLabel }
    while start < isTrained.count {
      let end = isTrained[start...].firstIndex { $0 != isTrained[start] } ?? isTrained.count
      let text = tokenizer.decode(Array(row.inputIDs[start..<end]))
      pieces.append(Piece(text: text, isTrained: isTrained[start]))
      start = end
    }
    self.pieces = pieces
    tokens = Self.tokens(row.inputIDs, isTrained, tokenizer)
    title =
      "row \(index) (\(row.file):\(row.line)): \(row.inputIDs.count) tokens, "
      + "\(row.trainedTokenCount) trained"
  }

  /// Tokens one by one, but those that hold parts of a character together.
  private static func tokens(_ ids: [Int32], _ isTrained: [Bool], _ tokenizer: Tokenizer)
    -> [TokenText]
  {
    var tokens: [TokenText] = []
    var start = 0
    while start < ids.count {
      var end = start + 1
      var text = tokenizer.decode([ids[start]])
      // A character has at most four bytes, each at worst a token of its own.
      var longer = start + 1
      while text.unicodeScalars.contains("\u{FFFD}"), longer < min(start + 4, ids.count),
        isTrained[longer] == isTrained[start]
      {
        longer += 1
        let candidate = tokenizer.decode(Array(ids[start..<longer]))
        if !candidate.unicodeScalars.contains("\u{FFFD}") { (text, end) = (candidate, longer) }
      }
      tokens.append(
        TokenText(
          index: start, ids: Array(ids[start..<end]), text: text, isTrained: isTrained[start],
          isSpecial: tokenizer.isSpecial(ids[start])))
      start = end
    }
    return tokens
  }

  /// The row for a terminal; without colours trained text stands between ⟦ and ⟧.
  func text(isColoured: Bool) -> String {
    let (on, off) = isColoured ? ("\u{1B}[1;32m", "\u{1B}[0m") : ("⟦", "⟧")
    let body = pieces.map { piece in
      // Control characters in data must not reach the terminal.
      let text = isColoured ? Self.withoutControls(piece.text) : piece.text
      return piece.isTrained ? on + text + off : text
    }
    return title + "\n\n" + body.joined() + "\n"
  }

  private static func withoutControls(_ text: String) -> String {
    var result = String.UnicodeScalarView()
    for scalar in text.unicodeScalars {
      let isControl = scalar.value < 0x20 || (0x7F...0x9F).contains(scalar.value)
      let isKept = scalar == "\n" || scalar == "\t"
      result.append(isControl && !isKept ? "\u{FFFD}" : scalar)
    }
    return String(result)
  }
}
