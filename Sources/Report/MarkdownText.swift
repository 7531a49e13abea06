// Text in Markdown and in YAML, as a model card has them.

/// Escaping for Markdown and YAML.
package enum MarkdownText {
  /// `text` as one line of Markdown that reads as it stands, in a table too.
  package static func escaped(_ text: String) -> String {
    var result = ""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\n", "\r", "\t": result += " "
      case "&": result += "&amp;"
      case "<": result += "&lt;"
      case "\\", "`", "*", "_", "[", "]", "|", "#", "~", "!", "$", ">":
        result += "\\" + String(scalar)
      default:
        if let name = HTMLText.name(ofHidden: scalar) {
          result += name
        } else {
          result.unicodeScalars.append(scalar)
        }
      }
    }
    return result
  }

  /// `text` as code in a line; a backtick in it lengthens the fence.
  package static func code(_ text: String) -> String {
    let shown = String(
      String.UnicodeScalarView(
        text.unicodeScalars.map { $0.value < 0x20 ? " " : $0 }))
    var (longest, current) = (0, 0)
    for scalar in shown.unicodeScalars {
      current = scalar == "`" ? current + 1 : 0
      longest = max(longest, current)
    }
    let fence = String(repeating: "`", count: longest + 1)
    return longest == 0 ? fence + shown + fence : "\(fence) \(shown) \(fence)"
  }

  /// `text` as a double-quoted YAML scalar on one line, read back as the same text by every YAML reader.
  package static func yaml(_ text: String) -> String {
    var quoted = "\""
    for scalar in text.unicodeScalars {
      switch scalar.value {
      case 0x22, 0x5C: quoted += "\\" + String(scalar)
      case 0x20...0x7E, 0xA0...0x2027, 0x202A...0xD7FF, 0xE000...0xFEFE, 0xFF00...0xFFFD:
        quoted.unicodeScalars.append(scalar)
      default:
        let digits = String(scalar.value, radix: 16)
        quoted += "\\U" + String(repeating: "0", count: 8 - digits.count) + digits
      }
    }
    return quoted + "\""
  }
}
