// Text in HTML. What people and models wrote never becomes markup, and never turns the page's own text around.

/// Escaping for HTML.
package enum HTMLText {
  /// `text` for element content and quoted attributes; control characters and marks of direction become their names.
  package static func escaped(_ text: String) -> String {
    var result = String.UnicodeScalarView()
    for scalar in text.unicodeScalars {
      switch scalar {
      case "&": result.append(contentsOf: "&amp;".unicodeScalars)
      case "<": result.append(contentsOf: "&lt;".unicodeScalars)
      case ">": result.append(contentsOf: "&gt;".unicodeScalars)
      case "\"": result.append(contentsOf: "&quot;".unicodeScalars)
      case "'": result.append(contentsOf: "&#39;".unicodeScalars)
      case "\n", "\t": result.append(scalar)
      default:
        if let name = name(ofHidden: scalar) {
          result.append(contentsOf: name.unicodeScalars)
        } else {
          result.append(scalar)
        }
      }
    }
    return String(result)
  }

  /// What stands for a scalar that a reader would not see, or that would move others: control pictures and "U+202E".
  package static func name(ofHidden scalar: Unicode.Scalar) -> String? {
    switch scalar {
    case "\u{7F}": "\u{2421}"
    case "\u{0}"..."\u{1F}": Unicode.Scalar(0x2400 + scalar.value).map { String($0) }
    case "\u{80}"..."\u{9F}", "\u{61C}", "\u{200E}", "\u{200F}", "\u{2028}", "\u{2029}",
      "\u{202A}"..."\u{202E}", "\u{2066}"..."\u{2069}", "\u{FEFF}", "\u{FFFE}", "\u{FFFF}":
      "U+" + String(scalar.value, radix: 16, uppercase: true)
    default: nil
    }
  }

  /// JSON text for a `script` element: no `<` is left that could end it.
  package static func scriptData(_ json: String) -> String {
    var result = String.UnicodeScalarView()
    for scalar in json.unicodeScalars {
      switch scalar {
      case "<", ">", "&", "\u{2028}", "\u{2029}":
        let digits = String(scalar.value, radix: 16)
        result.append(contentsOf: "\\u".unicodeScalars)
        result.append(contentsOf: String(repeating: "0", count: 4 - digits.count).unicodeScalars)
        result.append(contentsOf: digits.unicodeScalars)
      default: result.append(scalar)
      }
    }
    return String(result)
  }
}
