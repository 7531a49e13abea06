// A dialogue on the terminal.

import OrderedJSON
import SFT

/// Reads questions and prints answers until the user leaves.
struct Dialogue {
  private let answerer: Answerer
  private let editor = LineEditor()
  private var display: ThinkingDisplay
  private var messages: [JSONObject] = []
  private var system: String?
  private var answerCount = 0

  init(answerer: Answerer, display: ThinkingDisplay, system: String?) {
    self.answerer = answerer
    self.display = display
    self.system = system
  }

  private static let help = """
    /adapter on|off   answer with the adapter, or as the base model does
    /again            answer the last question once more
    /reset            forget the conversation
    /system TEXT      begin anew with a system message (none without TEXT)
    /thinking dim|hide|off   how reasoning is shown
    /quit             leave (so does Ctrl-D)
    Several lines: end each but the last with \\, or put them between two lines of \"\"\".
    """

  func run() throws {
    var copy = self
    Diagnostics.write(line: "Ask something; /help lists the commands.")
    while let question = copy.editor.question() {
      if question.allSatisfy(\.isWhitespace) { continue }
      if question.hasPrefix("/"), !question.contains("\n") {
        if try !copy.obey(question) { return }
        continue
      }
      copy.messages.append(Questions.message("user", question))
      try copy.answer()
    }
  }

  private mutating func answer() throws {
    let question = Conversation(messages: Questions.withSystem(system, messages))
    var printer = AnswerPrinter(
      answerer.encoder.tokenizer, display,
      beginsInReasoning: try answerer.beginsInReasoning(question))
    let answer = try answerer.answer(question, stream: answerCount) { id in try printer.print(id) }
    try printer.finish()
    answerCount += 1
    messages.append(Questions.message("assistant", answerer.text(answer)))
  }

  /// Carries out a command; false to leave.
  private mutating func obey(_ line: String) throws -> Bool {
    let words = line.split(separator: " ", maxSplits: 1).map { String($0) }
    let argument = words.count > 1 ? words[1] : ""
    switch (words[0], argument) {
    case ("/quit", _), ("/exit", _): return false
    case ("/help", _): Dialogue.help.split(separator: "\n").forEach { say(String($0)) }
    case ("/reset", _):
      messages = []
      say("The conversation begins anew.")
    case ("/system", _):
      system = argument.isEmpty ? nil : argument
      messages = []
      say(
        "The conversation begins anew with "
          + (argument.isEmpty ? "no system message." : "this system message."))
    case ("/adapter", "on"), ("/adapter", "off"):
      if answerer.hasAdapter {
        answerer.isAdapterOn = argument == "on"
        say("The adapter is \(argument)\(argument == "on" ? "" : ": the base model answers").")
      } else {
        say("There is no adapter (start with --adapter DIR).")
      }
    case ("/again", _):
      guard messages.last?["role"] == "assistant" else {
        say("Nothing has been answered yet.")
        break
      }
      messages.removeLast()
      try answer()
    case ("/thinking", _):
      guard let choice = ThinkingDisplay(rawValue: argument) else {
        say("/thinking dim, hide or off")
        break
      }
      display = choice
      say("Reasoning: \(argument).")
    default: say("There is no command \(words[0]); /help lists them.")
    }
    return true
  }

  private func say(_ line: String) { Diagnostics.write(line: line) }
}
