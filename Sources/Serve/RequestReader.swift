// From the body of a request to tokens. It renders and encodes; nothing here touches the model.

import ChatTemplate
import OrderedJSON
import QwenModel
import SFT
import Tokenizer

/// Reads requests for one base model.
struct RequestReader: Sendable {
  let encoder: ConversationEncoder
  let models: ServedModels
  let stopIDs: Set<Int32>
  let defaults: SamplingOptions
  let vocabulary: Int
  let maximumLength: Int
  let options: ServerOptions

  // MARK: /v1/chat/completions

  func chat(_ fields: Fields) throws(APIError) -> GenerationRequest {
    let model = try models.entry(try fields.string("model"))
    try refuseUnsupported(fields)
    var conversation: JSONObject = ["messages": .array(try messages(fields))]
    let tools = try tools(fields)
    conversation["tools"] = tools
    let rendered = try render(
      conversation, variables: try fields.object("chat_template_kwargs") ?? [:])
    let hasLogprobs = try fields.bool("logprobs")
    let top = try fields.integer("top_logprobs", 0...20)
    if top != nil, !hasLogprobs {
      throw .invalid("top_logprobs", "top_logprobs needs logprobs to be true")
    }
    var reader = AnswerReader.Settings()
    reader.stops = try fields.stops()
    reader.readsToolCalls = tools != nil
    reader.splitsReasoning = options.splitsReasoning
    reader.beginsInReasoning = AnswerReader.isInReasoning(rendered)
    return try request(
      fields, model, prompts: [encoder.tokenizer.encode(utf8: rendered)], reader: reader,
      logprobs: hasLogprobs ? top ?? 0 : nil, maxTokens: options.defaultMaxTokens,
      promptField: "messages")
  }

  private func refuseUnsupported(_ fields: Fields) throws(APIError) {
    if let format = try fields.object("response_format") {
      guard format["type"] == "text" else {
        throw .invalid(
          "response_format",
          "response_format: only {\"type\": \"text\"} is supported (ask for JSON in the prompt)")
      }
    }
    try fields.refuse("functions", "functions are not supported (use tools)")
    try fields.refuse("function_call", "function_call is not supported (use tool_choice)")
    try fields.refuse("audio", "audio is not supported")
    try fields.refuse(
      "modalities", unless: [["text"]], "modalities: only [\"text\"] is supported")
  }

  private func tools(_ fields: Fields) throws(APIError) -> JSON? {
    let tools = try fields.array("tools") ?? []
    if let choice = fields["tool_choice"] {
      if choice == "none" { return nil }
      guard choice == "auto" else {
        throw .invalid(
          "tool_choice", "tool_choice: only \"none\" and \"auto\" are supported")
      }
    }
    for (index, tool) in tools.enumerated() {
      guard tool["function"]?["name"]?.stringValue != nil else {
        throw .invalid("tools", "tools[\(index)].function.name is missing or no string")
      }
    }
    return tools.isEmpty ? nil : .array(tools)
  }

  /// The messages with their text in one piece, as every template takes it.
  private func messages(_ fields: Fields) throws(APIError) -> [JSON] {
    guard let messages = try fields.array("messages"), !messages.isEmpty else {
      throw .invalid("messages", "messages is missing or empty")
    }
    var result: [JSON] = []
    for (index, message) in messages.enumerated() {
      guard case .object(var message) = message else {
        throw .invalid("messages", "messages[\(index)] is no object")
      }
      if message["role"] == "developer" { message["role"] = "system" }
      if let parts = message["content"]?.arrayValue {
        message["content"] = .string(try text(of: parts, "messages[\(index)].content"))
      }
      if (message["content"] ?? .null) == .null {
        // An answer that only calls tools has no content.
        guard message["role"] == "assistant", message["tool_calls"]?.arrayValue?.isEmpty == false
        else {
          throw .invalid(
            "messages",
            "messages[\(index)].content: expected text, found \(message["content"] == nil ? "nothing" : "null")"
          )
        }
        message["content"] = ""
      }
      result.append(.object(message))
    }
    return result
  }

  private func text(of parts: [JSON], _ place: String) throws(APIError) -> String {
    var text = ""
    for (index, part) in parts.enumerated() {
      guard part["type"] == "text", let piece = part["text"]?.stringValue else {
        throw .invalid(
          "messages", "\(place)[\(index)]: only parts of text are supported")
      }
      text += piece
    }
    return text
  }

  private func render(_ row: JSONObject, variables: JSONObject) throws(APIError) -> [UInt8] {
    if let name = variables.keys.first(where: { ChatTemplate.reservedNames.contains($0) }) {
      throw .invalid("chat_template_kwargs", "chat_template_kwargs: \(name) is set by rendering")
    }
    let conversation: Conversation
    do throws(DataFault) {
      conversation = try Conversation(
        row: .object(row), format: .messages, file: "request", line: 1)
    } catch { throw .invalid("messages", error.problem.description) }
    for problem in conversation.problems {
      switch problem {
      case .noAssistantTurn, .noTrainedTurn, .noContent: continue
      default: throw .invalid("messages", problem.description)
      }
    }
    do throws(DataError) {
      return try encoder.adding(variables).render(conversation, addGenerationPrompt: true).utf8
    } catch {
      guard case .rendering(_, _, let problem) = error else {
        throw .server(error.description)
      }
      throw .invalid("messages", "the chat template refuses the messages: \(problem)")
    }
  }

  // MARK: /v1/completions

  func completion(_ fields: Fields) throws(APIError) -> GenerationRequest {
    let model = try models.entry(try fields.string("model"))
    for (name, value) in [("echo", JSON.bool(false)), ("suffix", ""), ("best_of", 1)] {
      try fields.refuse(name, unless: [value], "\(name) is not supported")
    }
    var reader = AnswerReader.Settings()
    reader.stops = try fields.stops()
    return try request(
      fields, model, prompts: try prompts(fields), reader: reader,
      logprobs: try fields.integer("logprobs", 0...20), maxTokens: 16,
      promptField: "prompt")
  }

  /// A string, tokens, or a list of either.
  private func prompts(_ fields: Fields) throws(APIError) -> [[Int32]] {
    guard let value = fields["prompt"] else { throw .invalid("prompt", "prompt is missing") }
    if let text = value.stringValue { return [encoder.tokenizer.encode(text)] }
    guard let list = value.arrayValue, let first = list.first else {
      throw .invalid("prompt", "prompt is \(value.kindDescription), expected text or tokens")
    }
    if first.integerValue != nil { return [try tokens(list)] }
    guard list.count <= options.maxConcurrency else {
      throw .invalid("prompt", "prompt has more than \(options.maxConcurrency) texts")
    }
    var prompts: [[Int32]] = []
    for item in list {
      if let text = item.stringValue {
        prompts.append(encoder.tokenizer.encode(text))
      } else {
        prompts.append(try tokens(item.arrayValue ?? []))
      }
    }
    return prompts
  }

  private func tokens(_ list: [JSON]) throws(APIError) -> [Int32] {
    var ids: [Int32] = []
    for item in list {
      guard let id = item.integerValue, (0..<vocabulary).contains(id) else {
        throw .invalid("prompt", "prompt has a token that the model has not")
      }
      ids.append(Int32(id))
    }
    return ids
  }

  // MARK: Both

  private func request(
    _ fields: Fields, _ model: ServedModels.Entry, prompts: [[Int32]],
    reader: AnswerReader.Settings, logprobs: Int?, maxTokens: Int, promptField: String
  ) throws(APIError) -> GenerationRequest {
    let count = try fields.integer("n", 1...128) ?? 1
    guard count * prompts.count <= options.maxConcurrency else {
      throw .invalid(
        "n",
        "the request asks for \(count * prompts.count) answers, the server decodes "
          + "\(options.maxConcurrency) at a time")
    }
    let sampling = try fields.sampling(defaults, vocabulary: vocabulary)
    let maxTokensField =
      fields["max_completion_tokens"] == nil ? "max_tokens" : "max_completion_tokens"
    let asked = try fields.integer(maxTokensField, 1...(.max))
    let isStreaming = try fields.bool("stream")
    let streamOptions = try fields.object("stream_options")
    if streamOptions != nil, !isStreaming {
      throw .invalid("stream_options", "stream_options needs stream to be true")
    }
    var requests: [DecodingRequest] = []
    for (index, prompt) in prompts.enumerated() {
      guard !prompt.isEmpty else { throw .invalid("prompt", "the prompt has no tokens") }
      if let id = prompt.first(where: { $0 < 0 || Int($0) >= vocabulary }) {
        throw .server("the tokenizer gives the token \(id), which the model has not")
      }
      let room = maximumLength - prompt.count
      let wanted = asked.map { min($0, maximumLength) } ?? 1
      guard room > 0, room >= wanted else {
        throw .invalid(
          promptField,
          "the prompt has \(prompt.count) tokens\(asked.map { ", the answer may have \($0)" } ?? ""), "
            + "and both together at most \(maximumLength)", code: "context_length_exceeded")
      }
      var request = DecodingRequest(
        prompt: prompt, maxNewTokens: min(asked ?? maxTokens, room), stopIDs: stopIDs,
        options: sampling)
      if fields["ignore_eos"] == true { request.stopIDs = [] }
      request.adapter = model.adapter
      request.topLogprobs = logprobs
      request.stream = index * count
      requests.append(request)
    }
    return GenerationRequest(
      model: model.name, prompts: requests, answersPerPrompt: count, isStreaming: isStreaming,
      includesUsage: streamOptions?["include_usage"] == true, hasLogprobs: logprobs != nil,
      reader: reader)
  }
}
