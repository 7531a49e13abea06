// An answer of a model in training.

public import OrderedJSON

/// What a model in training answers to a prompt.
public struct SampledAnswer: Sendable, Hashable {
  /// Steps of training before the answer.
  public let step: Int
  /// The number of the prompt, from 0.
  public let index: Int
  /// The last user turn of the prompt.
  public let prompt: String
  /// The answer without special tokens, and its ids with the one that ended it.
  public let text: String, ids: [Int32]
  /// Whether this is the model that the run has written.
  public let isFinal: Bool

  /// As a line of samples.jsonl has it.
  public var json: JSON {
    .object(
      JSONObject([
        ("step", .integer(step)), ("index", .integer(index)), ("final", .bool(isFinal)),
        ("prompt", .string(prompt)), ("text", .string(text)),
        ("ids", .array(ids.map { .integer(Int($0)) })),
      ]))
  }
}
