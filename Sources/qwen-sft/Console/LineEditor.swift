// Questions from a terminal: edited and remembered by libedit where the system has it, else as the terminal gives them.

import Glibc

/// Reads lines from a terminal.
struct LineEditor {
  private typealias ReadLine =
    @convention(c) (UnsafePointer<CChar>?) -> UnsafeMutablePointer<CChar>?
  private typealias AddHistory = @convention(c) (UnsafePointer<CChar>?) -> Int32

  private let readLineFunction: ReadLine?
  private let addHistoryFunction: AddHistory?

  /// An editor; it edits only where all three streams are a terminal.
  init() {
    guard StandardInput.isTerminal, StandardOutput.isTerminal, Diagnostics.isTerminal,
      let library = dlopen("libedit.so.2", RTLD_NOW) ?? dlopen("libedit.so.0", RTLD_NOW),
      let read = dlsym(library, "readline"), let add = dlsym(library, "add_history")
    else {
      (readLineFunction, addHistoryFunction) = (nil, nil)
      return
    }
    // Without it letters outside ASCII are bytes to the editor. Numbers keep their points.
    setlocale(LC_CTYPE, "")
    readLineFunction = unsafeBitCast(read, to: ReadLine.self)
    addHistoryFunction = unsafeBitCast(add, to: AddHistory.self)
  }

  /// The next line without its end; nil at the end of the input.
  func line(prompt: String) -> String? {
    guard let readLineFunction else {
      Diagnostics.showStatus([prompt])
      defer { Diagnostics.showStatus([]) }
      return readLine()
    }
    guard let line = readLineFunction(prompt) else { return nil }
    defer { free(line) }
    return String(cString: line)
  }

  /// Remembers a line for the arrow keys.
  func remember(_ line: String) { _ = addHistoryFunction?(line) }

  /// What is asked next: a line; several, while each but the last ends with a backslash; or all between two lines of
  /// three quotation marks. nil at the end of the input.
  func question() -> String? {
    guard var line = line(prompt: "> ") else { return nil }
    let marks = "\"\"\""
    guard line.hasPrefix(marks) else {
      var text = ""
      while line.hasSuffix("\\") {
        text += line.dropLast() + "\n"
        guard let next = self.line(prompt: "… ") else { break }
        line = next
      }
      if !line.hasSuffix("\\") { text += line }
      if !text.isEmpty { remember(text.contains("\n") ? line : text) }
      return text
    }
    var lines = [String(line.dropFirst(marks.count))]
    if lines[0].hasSuffix(marks) { return String(lines[0].dropLast(marks.count)) }
    while let next = self.line(prompt: "… ") {
      if next.hasSuffix(marks) {
        lines.append(String(next.dropLast(marks.count)))
        break
      }
      lines.append(next)
    }
    if lines.first == "" { lines.removeFirst() }
    if lines.last == "" { lines.removeLast() }
    return lines.joined(separator: "\n")
  }
}
