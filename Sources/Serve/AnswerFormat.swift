// OpenAI's objects for answers: whole and in chunks, of both endpoints.

import OrderedJSON
import QwenModel
import SFT
import Tokenizer

/// Writes the answers of one request in OpenAI's form.
struct AnswerFormat: Sendable {
  /// Which endpoint was asked.
  enum Endpoint: Sendable {
    /// /v1/chat/completions
    case chat
    /// /v1/completions
    case completion
  }

  let endpoint: Endpoint
  let request: GenerationRequest
  let tokenizer: Tokenizer
  let id: String
  let created: Int

  /// An answer as far as it is known.
  struct Answer {
    var content = ""
    var reasoning = ""
    var calls: [JSON] = []
    var logprobs: [LogprobEntry] = []
    var finishReason = "stop"
  }

  // MARK: Whole

  /// Adds an update to an answer.
  func add(_ update: AnswerUpdate, to answer: inout Answer) {
    for part in update.parts {
      switch part {
      case .content(let text): answer.content += text
      case .reasoning(let text): answer.reasoning += text
      case .toolCall(let name, let arguments):
        answer.calls.append(
          call(name, arguments, choice: update.choice, index: answer.calls.count, isDelta: false))
      }
    }
    answer.logprobs += update.logprobs
    if let reason = update.finishReason { answer.finishReason = reason }
  }

  /// The whole response.
  func response(_ answers: [Answer], generated: Int) -> JSON {
    let choices = answers.enumerated().map { index, answer in
      choice(index, answer.logprobs, offset: 0, reason: .string(answer.finishReason)) { object in
        guard endpoint == .chat else {
          object["text"] = .string(answer.content)
          return
        }
        var message: JSONObject = [
          "role": "assistant",
          "content": answer.content.isEmpty && !answer.calls.isEmpty
            ? .null : .string(answer.content),
        ]
        if request.reader.splitsReasoning {
          message["reasoning_content"] =
            answer.reasoning.isEmpty ? .null : .string(answer.reasoning)
        }
        if !answer.calls.isEmpty { message["tool_calls"] = .array(answer.calls) }
        object["message"] = .object(message)
      }
    }
    return object(isChunk: false, choices: choices, usage: usage(generated))
  }

  // MARK: Chunks

  /// The chunk that opens each answer of a chat.
  func opening(choice index: Int) -> JSON {
    chunk(index, [], offset: 0, reason: nil, delta: ["role": "assistant", "content": ""], text: "")
  }

  /// The chunks of an update; `callCount` and `offset` count the calls and characters of the answer so far.
  func chunks(_ update: AnswerUpdate, callCount: inout Int, offset: inout Int) -> [JSON] {
    var chunks: [JSON] = []
    var logprobs = update.logprobs
    for part in update.parts {
      var delta: JSONObject = [:]
      var text = ""
      switch part {
      case .content(let content):
        delta["content"] = .string(content)
        text = content
      case .reasoning(let reasoning): delta["reasoning_content"] = .string(reasoning)
      case .toolCall(let name, let arguments):
        delta["tool_calls"] = [
          call(name, arguments, choice: update.choice, index: callCount, isDelta: true)
        ]
        callCount += 1
      }
      chunks.append(
        chunk(
          update.choice, logprobs, offset: offset, reason: nil, delta: .object(delta), text: text))
      offset += text.unicodeScalars.count
      logprobs = []
    }
    if let reason = update.finishReason {
      chunks.append(
        chunk(update.choice, logprobs, offset: offset, reason: reason, delta: [:], text: ""))
    }
    return chunks
  }

  /// The chunk with the numbers of tokens.
  func usageChunk(_ generated: Int) -> JSON {
    object(isChunk: true, choices: [], usage: usage(generated))
  }

  private func chunk(
    _ index: Int, _ logprobs: [LogprobEntry], offset: Int, reason: String?, delta: JSON,
    text: String
  ) -> JSON {
    let choice = choice(
      index, logprobs, offset: offset, reason: reason.map { .string($0) } ?? .null
    ) { object in
      if endpoint == .chat { object["delta"] = delta } else { object["text"] = .string(text) }
    }
    return object(
      isChunk: true, choices: [choice], usage: request.includesUsage ? .null : nil)
  }

  // MARK: Parts

  private func object(isChunk: Bool, choices: [JSON], usage: JSON?) -> JSON {
    let kind =
      endpoint == .completion
      ? "text_completion" : isChunk ? "chat.completion.chunk" : "chat.completion"
    var object: JSONObject = [
      "id": .string(id), "object": .string(kind), "created": .integer(created),
      "model": .string(request.model), "choices": .array(choices),
    ]
    object["usage"] = usage
    return .object(object)
  }

  private func choice(
    _ index: Int, _ logprobs: [LogprobEntry], offset: Int, reason: JSON,
    _ fill: (inout JSONObject) -> Void
  ) -> JSON {
    var object: JSONObject = ["index": .integer(index)]
    fill(&object)
    object["logprobs"] =
      !request.hasLogprobs
      ? .null : endpoint == .chat ? chatLogprobs(logprobs) : textLogprobs(logprobs, offset)
    object["finish_reason"] = reason
    return .object(object)
  }

  private func call(_ name: String, _ arguments: String, choice: Int, index: Int, isDelta: Bool)
    -> JSON
  {
    var object: JSONObject = isDelta ? ["index": .integer(index)] : [:]
    object["id"] = .string("call_\(id.suffix(16))_\(choice)_\(index)")
    object["type"] = "function"
    object["function"] = ["name": .string(name), "arguments": .string(arguments)]
    return .object(object)
  }

  private func usage(_ generated: Int) -> JSON {
    let prompt = request.promptTokenCount
    return [
      "prompt_tokens": .integer(prompt), "completion_tokens": .integer(generated),
      "total_tokens": .integer(prompt + generated),
    ]
  }

  private func text(_ id: Int32) -> String {
    String(decoding: tokenizer.bytes(of: id), as: UTF8.self)
  }

  /// A number that JSON has: log 0 as vLLM writes it.
  private func number(_ logprob: Double) -> JSON { .number(max(logprob, -9999)) }

  private func chatLogprobs(_ entries: [LogprobEntry]) -> JSON {
    func entry(_ id: Int32, _ logprob: Double) -> JSONObject {
      [
        "token": .string(text(id)), "logprob": number(logprob),
        "bytes": .array(tokenizer.bytes(of: id).map { .integer(Int($0)) }),
      ]
    }
    return [
      "content": .array(
        entries.map { one in
          var object = entry(one.id, one.logprobs.logprob)
          object["top_logprobs"] = .array(
            one.logprobs.top.map { .object(entry($0.id, $0.logprob)) })
          return .object(object)
        })
    ]
  }

  private func textLogprobs(_ entries: [LogprobEntry], _ offset: Int) -> JSON {
    var place = offset
    var offsets: [JSON] = []
    for entry in entries {
      offsets.append(.integer(place))
      place += text(entry.id).unicodeScalars.count
    }
    return [
      "tokens": .array(entries.map { .string(text($0.id)) }),
      "token_logprobs": .array(entries.map { number($0.logprobs.logprob) }),
      "top_logprobs": .array(
        entries.map { entry in
          .object(JSONObject(entry.logprobs.top.map { (text($0.id), number($0.logprob)) }))
        }), "text_offset": .array(offsets),
    ]
  }
}
