// Prints an answer while it comes, never half a character, with reasoning dimmed, hidden or as it is, and calls of tools
// as such.

import ArgumentParser
import SFT
import Tokenizer

/// What becomes of the text between `<think>` and `</think>`.
enum ThinkingDisplay: String, ExpressibleByArgument, CaseIterable {
  /// In dim letters on a terminal, as it is elsewhere.
  case dim
  /// Left out.
  case hide
  /// As it is.
  case off
}

/// Writes tokens to standard output.
struct AnswerPrinter {
  private var reader: AnswerReader
  private let display: ThinkingDisplay
  private let isTerminal: Bool
  private var isDim = false
  private var isAtStart = true

  /// A printer at the start of an answer, which may begin inside `<think>`.
  init(_ tokenizer: Tokenizer, _ display: ThinkingDisplay, beginsInReasoning: Bool = false) {
    isTerminal = StandardOutput.isTerminal
    self.display = display == .dim && !isTerminal ? .off : display
    var settings = AnswerReader.Settings()
    settings.splitsReasoning = self.display != .off
    settings.beginsInReasoning = beginsInReasoning
    settings.readsToolCalls = isTerminal
    reader = AnswerReader(tokenizer: tokenizer, settings: settings)
    if self.display == .dim { Interrupts.resetTerminalAtEnd() }
  }

  /// Takes the next token.
  mutating func print(_ id: Int32) throws {
    try write(reader.push(id))
    try StandardOutput.flush()
  }

  /// Writes what is left, and a line end.
  mutating func finish() throws {
    try write(reader.finish())
    try setDim(false)
    try StandardOutput.write("\n")
    try StandardOutput.flush()
  }

  private mutating func write(_ parts: [AnswerReader.Part]) throws {
    for part in parts {
      switch part {
      case .reasoning(let text):
        if display == .hide { continue }
        try setDim(true)
        try StandardOutput.write(text)
      case .content(let text):
        if isDim { try StandardOutput.write("\n") }
        try setDim(false)
        try StandardOutput.write(text)
      case .toolCall(let name, let arguments):
        if !isAtStart { try StandardOutput.write("\n") }
        try setDim(false)
        try StandardOutput.write("\u{1B}[36m[calls \(name)]\u{1B}[0m \(arguments)\n")
      }
      isAtStart = false
    }
  }

  private mutating func setDim(_ isDim: Bool) throws {
    guard isDim != self.isDim else { return }
    self.isDim = isDim
    try StandardOutput.write(isDim ? "\u{1B}[2m" : "\u{1B}[0m")
  }
}
