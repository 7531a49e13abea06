// Rows as one page that needs nothing else: every token, trained or not, with its id. What the data says is
// escaped: no text of it becomes markup.

import Report

/// The page of `data preview --html`.
enum PreviewPage {
  /// A page of rows.
  static func html(_ rows: [RowPreview]) -> String {
    """
    <!DOCTYPE html>
    <html lang="en">
    <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <title>Training data</title>
    <style>
    \(style)
    </style>
    </head>
    <body>
    <header>
    <h1>Training data</h1>
    <p><span class="legend"><mark>trained</mark></span> <span class="legend">context</span>
    <span class="legend"><b>special token</b></span> Every box is a token; its id shows when you point at it.</p>
    </header>
    <main>
    \(rows.map(section).joined())</main>
    </body>
    </html>

    """
  }

  private static let style = """
    :root { color-scheme: light dark; --line: #8884; --trained: #2ea04340; --edge: #2ea043; --special: #8250df; }
    @media (prefers-color-scheme: dark) { :root { --special: #c297ff; } }
    body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 62rem; padding: 0 1rem; }
    h1 { margin-bottom: 0; }
    h2 { font-size: 1rem; margin: 2rem 0 .5rem; overflow-wrap: anywhere; }
    .legend, pre { font-family: ui-monospace, monospace; font-size: .875rem; }
    .legend { border: 1px solid var(--line); border-radius: 4px; padding: .1rem .4rem; margin-right: .4rem; }
    pre { border: 1px solid var(--line); border-radius: 8px; padding: 1rem; line-height: 1.9; white-space: pre-wrap; overflow-wrap: anywhere; }
    pre span, pre mark, pre b { border-radius: 3px; box-shadow: inset 0 0 0 1px var(--line); padding: 1px 0; }
    mark { background: var(--trained); color: inherit; }
    pre mark { padding-bottom: 3px; box-shadow: inset 0 0 0 1px var(--line), inset 0 -2px 0 var(--edge); }
    b { color: var(--special); font-weight: 600; }
    i { opacity: .5; font-style: normal; }
    pre :hover { outline: 2px solid var(--edge); }
    """

  private static func section(_ row: RowPreview) -> String {
    let body = row.tokens.map { token in
      let ids = token.ids.map { String($0) }.joined(separator: " + ")
      let tag = token.isTrained ? "mark" : "span"
      let text = token.isSpecial ? "<b>\(shown(token.text))</b>" : shown(token.text)
      let note = token.isTrained ? "trained" : "context"
      return "<\(tag) title=\"id \(ids), position \(token.index), \(note)\">\(text)</\(tag)>"
    }
    return "<h2>\(shown(row.title))</h2>\n<pre>\(body.joined())</pre>\n"
  }

  /// Text escaped, with line ends and control characters made visible.
  private static func shown(_ text: String) -> String {
    var result = ""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "&": result += "&amp;"
      case "<": result += "&lt;"
      case ">": result += "&gt;"
      case "\"": result += "&quot;"
      case "\n": result += "<i>↵</i>\n"
      case "\t": result += "<i>→</i>\t"
      default:
        if let name = HTMLText.name(ofHidden: scalar) {
          result += "<i>\(name)</i>"
        } else {
          result.unicodeScalars.append(scalar)
        }
      }
    }
    return result
  }
}
