// From conversations to answers: render, encode, generate, several at a time.

import ChatTemplate
import NN
import OrderedJSON
import QwenModel
import SFT
import Tensor
import Tokenizer

/// Answers conversations.
final class Answerer {
  /// An answer as it is when complete.
  struct Answer {
    /// The ids, ending with the stop token where one was produced.
    var ids: [Int32] = []
    /// Tokens of the prompt.
    var promptCount = 0
    /// When the first token came, and the last.
    var first, last: ContinuousClock.Instant?

    /// Tokens after the first a second; 0 for a single one.
    var tokensPerSecond: Double {
      guard let first, let last, ids.count > 1 else { return 0 }
      return Double(ids.count - 1) / max((last - first).inSeconds, 1e-9)
    }
  }

  let encoder: ConversationEncoder
  /// Whether there is an adapter.
  let hasAdapter: Bool
  /// Whether the adapter takes part.
  var isAdapterOn: Bool
  private let vocabulary: Int
  /// Tokens of a sequence that the model knows positions of.
  private let positionCount: Int
  /// Whether it was said that a sequence is longer.
  private var hasNotedLength = false
  private let stopIDs: Set<Int32>
  private let sampling: SamplingArguments
  private let decoder: BatchDecoder

  /// Tokens of past turns of a dialogue that are not computed again.
  static let dialogueTokenCount = 1 << 14
  /// The same of conversations that may have no more in common than their system message.
  static let conversationTokenCount = 1 << 11

  /// An answerer with `model`, whose adapter it takes off and puts in where it is wanted. It keeps keys and values of
  /// `keptTokenCount` tokens that have gone through the model.
  init(
    model: QwenModel, encoder: ConversationEncoder, stopIDs: Set<Int32>,
    sampling: SamplingArguments, keptTokenCount: Int
  ) {
    self.encoder = encoder
    self.stopIDs = stopIDs
    self.sampling = sampling
    vocabulary = model.config.vocabSize
    positionCount = model.config.maxPositionEmbeddings
    hasAdapter = !model.namedAdapters().isEmpty
    isAdapterOn = hasAdapter
    let routes = AdapterRoutes()
    if hasAdapter { _ = routes.take(from: model) }
    decoder = BatchDecoder(
      model: model, routes: routes, keptPrefixTokenCount: keptTokenCount,
      screensHead: Session.screensHead(of: model))
  }

  /// The answer to one conversation; `onToken` sees every id but the one that ends it.
  func answer(
    _ conversation: Conversation, stream: Int = 0, onToken: (Int32) throws -> Void
  ) throws -> Answer {
    var result = Answer()
    try answer([conversation], firstStream: stream, batchSize: 1, onToken: onToken) { _, answer in
      result = answer
    }
    return result
  }

  /// The answers to `conversations`, `batchSize` of them decoded together; `onAnswer` gets them in their order.
  func answer(
    _ conversations: [Conversation], firstStream: Int = 0, batchSize: Int,
    onToken: (Int32) throws -> Void = { _ in }, onAnswer: (Int, Answer) throws -> Void
  ) throws {
    var answers: [Int: Answer] = [:]
    var places: [Int: Int] = [:]
    var next = 0
    var written = 0
    defer { for id in places.keys { decoder.remove(id) } }
    while written < conversations.count {
      while next < conversations.count, places.count < batchSize {
        let request = try request(conversations[next], stream: firstStream + next)
        answers[next] = Answer(promptCount: request.prompt.count)
        places[decoder.add(request)[0]] = next
        next += 1
      }
      for token in try decoder.step() {
        guard let place = places[token.sequence] else { continue }
        if token.end == .notFinite { throw DeviceError.notFinite }
        let now = ContinuousClock.now
        answers[place]?.ids.append(token.id)
        answers[place]?.last = now
        if answers[place]?.ids.count == 1 { answers[place]?.first = now }
        if token.end != nil { places[token.sequence] = nil }
        if token.end != .stopToken { try onToken(token.id) }
      }
      while let answer = answers[written], !places.values.contains(written) {
        try onAnswer(written, answer)
        answers[written] = nil
        written += 1
      }
    }
  }

  /// Whether an answer to `conversation` begins inside `<think>`.
  func beginsInReasoning(_ conversation: Conversation) throws -> Bool {
    AnswerReader.isInReasoning(try encoder.render(conversation, addGenerationPrompt: true).utf8)
  }

  /// Says, once, that a sequence may go beyond what the model was made for. It is answered all the same, as by transformers.
  private func noteLength(ofPrompt count: Int, _ conversation: Conversation) {
    guard sampling.maxNewTokens > positionCount - count, !hasNotedLength else { return }
    hasNotedLength = true
    let place = conversation.file.isEmpty ? "the conversation" : conversation.file
    Diagnostics.notice(
      "warning: \(place): a prompt of \(count) tokens and an answer of up to \(sampling.maxNewTokens) go beyond the "
        + "\(positionCount) tokens that the model was made for (max_position_embeddings)")
  }

  private func request(_ conversation: Conversation, stream: Int) throws -> DecodingRequest {
    let text = try encoder.render(conversation, addGenerationPrompt: true).utf8
    let prompt = encoder.tokenizer.encode(utf8: text)
    guard !prompt.isEmpty else {
      throw CLIError.line(
        input: conversation.file, line: conversation.line,
        problem: "the template renders to nothing")
    }
    for id in prompt where id < 0 || Int(id) >= vocabulary {
      throw TrainingError.tokenOutOfRange(
        id: Int(id), vocabulary: vocabulary, place: "\(conversation.file):\(conversation.line)")
    }
    noteLength(ofPrompt: prompt.count, conversation)
    var request = DecodingRequest(
      prompt: prompt, maxNewTokens: sampling.maxNewTokens, stopIDs: stopIDs,
      options: sampling.options)
    request.stream = stream
    request.adapter = isAdapterOn ? 0 : nil
    return request
  }

  /// The ids without the one that ended the answer.
  func withoutStop(_ answer: Answer) -> ArraySlice<Int32> {
    answer.ids.last.map { stopIDs.contains($0) } == true
      ? answer.ids.dropLast() : answer.ids[...]
  }

  /// The answer's text, without the token that ended it (special or not) and other special tokens.
  func text(_ answer: Answer) -> String {
    encoder.tokenizer.decode(Array(withoutStop(answer)), skipSpecialTokens: true)
  }

  /// The answer as `--json` prints it.
  func json(_ answer: Answer) -> JSON {
    .object(
      JSONObject([
        ("text", .string(text(answer))), ("ids", .array(answer.ids.map { .integer(Int($0)) })),
        ("prompt_tokens", .integer(answer.promptCount)),
        ("new_tokens", .integer(answer.ids.count)),
        ("tokens_per_second", .number(answer.tokensPerSecond)),
      ]))
  }
}
