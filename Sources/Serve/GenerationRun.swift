// One request's way through the engine: tokens in, parts of answers out.

import QwenModel
import SFT
import Tokenizer

/// A token with its log-probability, as a client sees it.
struct LogprobEntry: Sendable {
  let id: Int32
  let logprobs: TokenLogprobs
}

/// What has become known of one answer.
struct AnswerUpdate: Sendable {
  let choice: Int
  var parts: [AnswerReader.Part]
  /// The tokens since the last update, where asked for.
  var logprobs: [LogprobEntry]
  /// OpenAI's word for why the answer has ended; nil where it goes on.
  var finishReason: String?
}

/// A request that the engine has taken.
struct GenerationRun: Sendable {
  private let engine: Engine
  private let tokenizer: Tokenizer
  private let request: GenerationRequest
  private let job: Int
  private let events: AsyncStream<EngineEvent>
  private let start = ContinuousClock.now

  /// - Throws: ``APIError`` where the engine takes no more.
  init(_ request: GenerationRequest, _ engine: Engine, _ tokenizer: Tokenizer, timeout: Duration)
    throws(APIError)
  {
    (job, events) = try engine.submit(
      request.prompts, answersPerPrompt: request.answersPerPrompt, timeout: timeout)
    (self.engine, self.tokenizer, self.request) = (engine, tokenizer, request)
    engine.metrics.countPrompt(tokens: request.promptTokenCount)
  }

  /// Ends the work: nobody wants it any more.
  func cancel() { engine.cancel(job: job) }

  /// Hands out what comes, and returns the number of generated tokens. Leaving it in any way ends the work.
  func run(_ emit: (AnswerUpdate) async throws -> Void) async throws -> Int {
    let count = request.answerCount
    var readers = (0..<count).map { _ in
      AnswerReader(tokenizer: tokenizer, settings: request.reader)
    }
    var isDone = [Bool](repeating: false, count: count)
    var pending = [[LogprobEntry]](repeating: [], count: count)
    var tokens = 0
    var first: ContinuousClock.Instant?
    for await event in events {
      switch event {
      case .failed(let error): throw error
      case .token(let choice, let token):
        if isDone[choice] { continue }
        tokens += 1
        if first == nil {
          first = .now
          engine.metrics.recordFirstToken((ContinuousClock.now - start).inSeconds)
        }
        if let logprobs = token.logprobs {
          pending[choice].append(LogprobEntry(id: token.id, logprobs: logprobs))
        }
        var parts = token.end == .stopToken ? [] : readers[choice].push(token.id)
        var reason: String?
        if readers[choice].isStopped {
          parts += readers[choice].finish()
          reason = "stop"
          if token.end == nil { engine.end(job: job, choice: choice) }
        } else if let end = token.end {
          parts += readers[choice].finish()
          reason = end == .length ? "length" : "stop"
        }
        if reason == "stop", readers[choice].toolCallCount > 0 { reason = "tool_calls" }
        isDone[choice] = reason != nil
        guard !parts.isEmpty || reason != nil else { continue }
        try await emit(
          AnswerUpdate(
            choice: choice, parts: parts, logprobs: pending[choice], finishReason: reason))
        pending[choice] = []
      }
    }
    guard !Task.isCancelled, !isDone.contains(false) else {
      engine.metrics.countCancellation()
      throw CancellationError()
    }
    let end = ContinuousClock.now
    engine.metrics.recordRequest((end - start).inSeconds)
    if let first, tokens > count {
      engine.metrics.recordBetweenTokens((end - first).inSeconds / Double(tokens - count))
    }
    return tokens
  }
}
