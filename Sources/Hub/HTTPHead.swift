// The head of an answer.

/// A status and header fields.
struct HTTPHead: Sendable {
  /// The status, 0 where the first line is none.
  let status: Int
  private var fields: [(name: String, value: String)] = []

  /// No answer.
  init() { status = 0 }

  /// The answer that begins with `statusLine`, such as "HTTP/1.1 200 OK".
  init(statusLine: String) {
    let words = statusLine.split(separator: " ")
    status = words.count > 1 ? byteNumber(words[1]) ?? 0 : 0
  }

  /// Takes a line such as "Content-Length: 12"; one without a colon says nothing.
  mutating func add(line: String) {
    guard let colon = line.firstIndex(of: ":") else { return }
    var value = line[line.index(after: colon)...]
    while let first = value.first, first == " " || first == "\t" { value.removeFirst() }
    fields.append((line[..<colon].lowercased(), String(value)))
  }

  /// The first value of the field called `name`, whatever its case.
  subscript(name: String) -> String? {
    let name = name.lowercased()
    return fields.first { $0.name == name }?.value
  }

  /// Whether the status is one that leads elsewhere.
  var isRedirect: Bool { [301, 302, 303, 307, 308].contains(status) }
}

/// The whole number that `text` is, digits only; nil where it is none.
func byteNumber(_ text: some StringProtocol) -> Int? {
  guard (1...18).contains(text.utf8.count), text.utf8.allSatisfy(isDigit) else { return nil }
  return Int(text)
}
