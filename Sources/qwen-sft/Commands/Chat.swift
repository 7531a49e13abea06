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

  @Option(
    help: ArgumentHelp(
      "What to answer; without it, what standard input has is one prompt.", valueName: "text"))
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

  @Option(
    help: ArgumentHelp(
      "Conversations of --messages decoded together; with 1 no rounding depends on the others.",
      valueName: "n"))
  var batchSize = 8

  @Flag(help: "Print one JSON value a conversation.")
  var json = false

  mutating func validate() throws {
    if !(1...1024).contains(batchSize) {
      throw ValidationError("--batch_size: expected 1 to 1024, found \(batchSize)")
    }
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
      folder, adapter: adapterFolder, precision: precision, for: .generation, on: device)
    let answerer = Answerer(
      model: network, encoder: encoder,
      stopIDs: try Session.stopIDs(folder, model: network, tokenizer: encoder.tokenizer),
      sampling: sampling,
      keptTokenCount: questions == nil
        ? Answerer.dialogueTokenCount : Answerer.conversationTokenCount)
    guard let questions else {
      try Dialogue(answerer: answerer, display: showThinking, system: system).run()
      return
    }
    guard questions.count == 1, !json else {
      try answer(questions, answerer)
      return
    }
    var printer = AnswerPrinter(
      encoder.tokenizer, showThinking,
      beginsInReasoning: try answerer.beginsInReasoning(questions[0]))
    _ = try answerer.answer(questions[0]) { id in try printer.print(id) }
    try printer.finish()
  }

  /// Writes each answer when it and all before it are complete.
  private func answer(_ questions: [Conversation], _ answerer: Answerer) throws {
    try answerer.answer(questions, batchSize: batchSize) { index, answer in
      if json {
        try StandardOutput.write(line: answerer.json(answer).serialized())
      } else {
        var printer = AnswerPrinter(
          answerer.encoder.tokenizer, showThinking,
          beginsInReasoning: try answerer.beginsInReasoning(questions[index]))
        for id in answerer.withoutStop(answer) { try printer.print(id) }
        try printer.finish()
      }
      try StandardOutput.flush()
    }
  }

  /// The conversations to answer; nil for a dialogue.
  private func questions() throws -> [Conversation]? {
    if let messages {
      let all = try Questions.conversations(in: messages, system: system)
      if all.isEmpty {
        throw CLIError.argument(option: "messages", problem: "\(messages): no conversation in it")
      }
      return all
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
