// A row in pieces, trained and not, as terminal text or as a page.

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

  /// The pieces in order.
  let pieces: [Piece]
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
    title =
      "row \(index) (\(row.file):\(row.line)): \(row.inputIDs.count) tokens, "
      + "\(row.trainedTokenCount) trained"
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

  /// A page of rows.
  static func page(_ rows: [RowPreview]) -> String {
    let sections = rows.map { row in
      let body = row.pieces.map { piece in
        piece.isTrained ? "<mark>\(escaped(piece.text))</mark>" : escaped(piece.text)
      }
      return "<h2>\(escaped(row.title))</h2>\n<pre>\(body.joined())</pre>\n"
    }
    return """
      <!DOCTYPE html>
      <html lang="en">
      <meta charset="utf-8">
      <meta name="viewport" content="width=device-width, initial-scale=1">
      <title>Training data</title>
      <style>
      :root { color-scheme: light dark; }
      body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem; }
      h2 { font-size: 1rem; margin-top: 2rem; }
      pre { border: 1px solid #8886; border-radius: 6px; padding: 1rem; white-space: pre-wrap; overflow-wrap: anywhere; }
      mark { background: #2a83; color: inherit; border-radius: 3px; }
      </style>
      <h1>Training data</h1>
      <p>Marked text is trained; the rest is context.</p>
      \(sections.joined())</html>

      """
  }

  private static func escaped(_ text: String) -> String {
    var result = String.UnicodeScalarView()
    for scalar in text.unicodeScalars {
      switch scalar {
      case "&": result.append(contentsOf: "&amp;".unicodeScalars)
      case "<": result.append(contentsOf: "&lt;".unicodeScalars)
      case ">": result.append(contentsOf: "&gt;".unicodeScalars)
      case "\u{0}": result.append("\u{FFFD}")
      default: result.append(scalar)
      }
    }
    return String(result)
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
