// A dialogue on the terminal.

import OrderedJSON
import QwenModel
import NN
import SFT

/// Reads questions and prints answers until the user leaves.
struct Dialogue {
  private let answerer: Answerer
  private let network: QwenModel
  private let display: ThinkingDisplay
  private var messages: [JSONObject] = []
  private var system: String?

  init(answerer: Answerer, network: QwenModel, display: ThinkingDisplay, system: String?) {
    self.answerer = answerer
    self.network = network
    self.display = display
    self.system = system
  }

  func run() throws {
    var copy = self
    Diagnostics.write(line: "Commands: /reset, /system TEXT, /adapter on|off, /quit")
    while true {
      Diagnostics.showStatus(["> "])
      let answer = readLine()
      Diagnostics.showStatus([])
      guard let line = answer else { return }
      if line.isEmpty { continue }
      if line.hasPrefix("/") {
        if !copy.obey(line) { return }
        continue
      }
      copy.messages.append(Questions.message("user", line))
      let question = Conversation(messages: Questions.withSystem(copy.system, copy.messages))
      var printer = AnswerPrinter(answerer.encoder.tokenizer, display)
      let output = try answerer.answer(question, stream: copy.messages.count) { id in
        try printer.print(id)
      }
      try printer.finish()
      copy.messages.append(Questions.message("assistant", answerer.text(output)))
    }
  }

  /// Carries out a command; false to leave.
  private mutating func obey(_ line: String) -> Bool {
    let words = line.split(separator: " ", maxSplits: 1).map { String($0) }
    let argument = words.count > 1 ? words[1] : ""
    switch (words[0], argument) {
    case ("/quit", _), ("/exit", _): return false
    case ("/reset", _):
      messages = []
      Diagnostics.write(line: "The conversation begins anew.")
    case ("/system", _):
      system = argument.isEmpty ? nil : argument
      messages = []
      Diagnostics.write(line: "The conversation begins anew with this system message.")
    case ("/adapter", "on"), ("/adapter", "off"):
      if network.namedAdapters().isEmpty {
        Diagnostics.write(line: "There is no adapter (start with --adapter DIR).")
      } else {
        network.setAdaptersEnabled(argument == "on")
        Diagnostics.write(line: "The adapter is \(argument).")
      }
    default:
      Diagnostics.write(line: "Commands: /reset, /system TEXT, /adapter on|off, /quit")
    }
    return true
  }
}
