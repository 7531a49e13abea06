// `qwen-sft chat`: one prompt, a file of conversations, or a dialogue.

import ArgumentParser
import Files
import OrderedJSON
import QwenModel
import SFT
import Tensor

/// Answers with a model, with or without an adapter.
struct Chat: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Answers a prompt, a file of conversations, or a terminal dialogue.",
    aliases: ["infer"])

  @OptionGroup var model: ModelOptions
  @OptionGroup var adapter: AdapterOptions
  @OptionGroup var sampling: SamplingArguments
  @OptionGroup var precision: PrecisionOptions
  @OptionGroup var common: CommonOptions

  @Option(help: ArgumentHelp("What to answer.", valueName: "text"))
  var prompt: String?

  @Option(
    help: ArgumentHelp(
      "JSONL of conversations: each is answered up to its last user turn.", valueName: "file"))
  var messages: String?

  @Option(help: ArgumentHelp("System message.", valueName: "text"))
  var system: String?

  @Option(help: ArgumentHelp("Variables for the chat template, as JSON.", valueName: "json"))
  var templateKwargs: String?

  @Option(help: "Reasoning between <think> and </think>: dim, hide or off.")
  var showThinking = ThinkingDisplay.dim

  @Flag(help: "Print one JSON value a conversation.")
  var json = false

  mutating func validate() throws {
    if prompt != nil && messages != nil {
      throw ValidationError("--prompt and --messages exclude each other")
    }
    _ = try EncodingOptions.variables(templateKwargs)
  }

  mutating func run() throws {
    let device = try common.start()
    let folder = try model.folder()
    let adapterFolder = try adapter.folder(isOffline: model.offline)
    let questions = try questions()
    let encoder = try ConversationEncoder(
      folder: folder, variables: EncodingOptions.variables(templateKwargs))
    try encoder.requireTemplate()
    let network = try Session.model(
      folder, adapter: adapterFolder, precision: precision, on: device)
    let answerer = Answerer(
      model: network, encoder: encoder,
      stopIDs: try Session.stopIDs(folder, model: network, tokenizer: encoder.tokenizer),
      sampling: sampling)
    guard let questions else {
      try Dialogue(
        answerer: answerer, network: network, display: showThinking, system: system
      ).run()
      return
    }
    for (index, question) in questions.enumerated() {
      if json {
        let output = try answerer.answer(question, stream: index) { _ in }
        try StandardOutput.write(line: answerer.json(output).serialized())
      } else {
        var printer = AnswerPrinter(encoder.tokenizer, showThinking)
        _ = try answerer.answer(question, stream: index) { id in try printer.print(id) }
        try printer.finish()
      }
      try StandardOutput.flush()
    }
  }

  /// The conversations to answer; nil for a dialogue.
  private func questions() throws -> [Conversation]? {
    if let messages {
      return try Questions.conversations(in: messages, system: system)
    }
    if let prompt { return [Questions.conversation(prompt, system: system)] }
    if StandardInput.isTerminal && StandardOutput.isTerminal { return nil }
    var input = StandardInput()
    let text = String(decoding: try input.readAll(), as: UTF8.self)
    let question = text.last?.isNewline == true ? String(text.dropLast()) : text
    if !question.isEmpty { return [Questions.conversation(question, system: system)] }
    let sample = try DemoFiles.samplePath()
    guard let first = try Questions.conversations(in: sample, system: system).first else {
      return []
    }
    Diagnostics.notice("no prompt: asking the first question of the sample data")
    return [first]
  }
}

/// How answers are chosen.
struct SamplingArguments: ParsableArguments {
  @Option(help: ArgumentHelp("Longest answer in tokens.", valueName: "n")) var maxNewTokens = 128
  @Option(help: ArgumentHelp("0 takes the most likely token.", valueName: "t"))
  var temperature = 0.7
  @Option(help: ArgumentHelp("Share of probability to choose from.", valueName: "p")) var topP = 0.8
  @Option(help: ArgumentHelp("Tokens to choose from; 0 for all.", valueName: "k")) var topK = 20
  @Option(help: ArgumentHelp("Least relative probability.", valueName: "p")) var minP = 0.0
  @Option(help: ArgumentHelp("Penalty of repeated tokens; 1 for none.", valueName: "x"))
  var repetitionPenalty = 1.0
  @Option(help: ArgumentHelp("Seed of the choices.", valueName: "n")) var seed: UInt64 = 42

  mutating func validate() throws {
    func require(_ condition: Bool, _ name: String, _ value: Any, _ expected: String) throws {
      if !condition { throw ValidationError("--\(name): expected \(expected), found \(value)") }
    }
    try require(maxNewTokens > 0, "max_new_tokens", maxNewTokens, "1 or more")
    try require(temperature.isFinite && temperature >= 0, "temperature", temperature, "0 or more")
    try require((0...1).contains(topP), "top_p", topP, "0 to 1")
    try require(topK >= 0, "top_k", topK, "0 or more")
    try require((0...1).contains(minP), "min_p", minP, "0 to 1")
    try require(
      repetitionPenalty.isFinite && repetitionPenalty > 0, "repetition_penalty", repetitionPenalty,
      "a number above 0")
  }

  /// The settings of a generator.
  var options: SamplingOptions {
    SamplingOptions(
      temperature: temperature, topP: topP, topK: topK, minP: minP,
      repetitionPenalty: repetitionPenalty, seed: seed)
  }
}
