// Prints an answer while it comes, never half a character, with reasoning dimmed, hidden or as it is.

import ArgumentParser
import Tokenizer

/// What becomes of the text between `<think>` and `</think>`.
enum ThinkingDisplay: String, ExpressibleByArgument {
  /// In dim letters on a terminal, as it is elsewhere.
  case dim
  /// Left out.
  case hide
  /// As it is.
  case off
}

/// Writes tokens to standard output.
struct AnswerPrinter {
  private var decoder: StreamingDecoder
  private let display: ThinkingDisplay
  private let begin, end: Int32?
  private var isThinking = false
  private var isAtStart = true

  init(_ tokenizer: Tokenizer, _ display: ThinkingDisplay) {
    decoder = StreamingDecoder(tokenizer: tokenizer, skipSpecialTokens: true)
    self.display = display == .dim && !StandardOutput.isTerminal ? .off : display
    begin = tokenizer.tokenID(for: "<think>")
    end = tokenizer.tokenID(for: "</think>")
    if self.display == .dim { Interrupts.resetTerminalAtEnd() }
  }

  /// Takes the next token.
  mutating func print(_ id: Int32) throws {
    if id == begin, display != .off {
      isThinking = true
      if display == .dim { try StandardOutput.write("\u{1B}[2m") }
    }
    let text = decoder.push(id)
    if !(isThinking && display == .hide) { try write(text) }
    if id == end, isThinking {
      isThinking = false
      isAtStart = display == .hide
      if display == .dim { try StandardOutput.write("\u{1B}[0m") }
    }
    try StandardOutput.flush()
  }

  /// Writes what is left, and a line end.
  mutating func finish() throws {
    let rest = decoder.finish()
    if !(isThinking && display == .hide) { try write(rest) }
    if isThinking && display == .dim { try StandardOutput.write("\u{1B}[0m") }
    try StandardOutput.write("\n")
    try StandardOutput.flush()
  }

  /// Hidden reasoning takes the line ends behind it along.
  private mutating func write(_ text: String) throws {
    var text = text[...]
    if isAtStart && display == .hide { text = text.drop { $0.isNewline } }
    if text.isEmpty { return }
    isAtStart = false
    try StandardOutput.write(String(text))
  }
}
