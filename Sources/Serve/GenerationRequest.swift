// One request to the model, as both endpoints come down to it.

import QwenModel
import SFT

/// What to generate, and how to tell the client.
struct GenerationRequest: Sendable {
  /// The name of the model, as the client is to see it.
  let model: String
  /// The prompts in tokens.
  let prompts: [DecodingRequest]
  /// Answers to each prompt.
  let answersPerPrompt: Int
  /// Whether tokens are sent as they come.
  let isStreaming: Bool
  /// Whether a stream ends with the numbers of tokens.
  let includesUsage: Bool
  /// Whether log-probabilities are sent.
  let hasLogprobs: Bool
  /// How answers are read.
  let reader: AnswerReader.Settings

  /// Answers in all.
  var answerCount: Int { prompts.count * answersPerPrompt }

  /// Tokens of all prompts.
  var promptTokenCount: Int { prompts.reduce(0) { $0 + $1.prompt.count } }
}

/// The models that a server has, and what all of them share.
struct ServedModels: Sendable {
  /// A model by its name.
  struct Entry: Sendable, Hashable {
    let name: String
    /// The number of its adapter among the routes; nil for the base.
    let adapter: Int?
  }

  /// The base first.
  let entries: [Entry]
  /// When the server started, in seconds since 1970.
  let created: Int

  /// The model that a request names; without a name the base.
  func entry(_ name: String?) throws(APIError) -> Entry {
    guard let name else { return entries[0] }
    guard let entry = entries.first(where: { $0.name.utf8.elementsEqual(name.utf8) }) else {
      throw .notFound(
        "there is no model \"\(name.prefix(200))\" (GET /v1/models lists those that are there)",
        parameter: "model", code: "model_not_found")
    }
    return entry
  }
}
