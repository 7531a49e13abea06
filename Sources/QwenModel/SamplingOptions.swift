// What a user can say about the choice of tokens, with the names of transformers and of OpenAI's interface.

/// How tokens are chosen. The settings act in the order in which they stand here, as they do in transformers.
public struct SamplingOptions: Sendable, Hashable {
  /// Added to the logits of single tokens (OpenAI's `logit_bias`).
  public var logitBias: [Int32: Double] = [:]
  /// Divides positive and multiplies negative logits of tokens that are there already, in the prompt too; 1 changes
  /// nothing.
  public var repetitionPenalty: Double
  /// Taken off the logit of a token for every time that it has been generated; 0 changes nothing.
  public var frequencyPenalty = 0.0
  /// Taken off the logit of a token that has been generated; 0 changes nothing.
  public var presencePenalty = 0.0
  /// No run of so many tokens comes twice, the prompt included; 0 allows all.
  public var noRepeatNgramSize = 0
  /// Divides the logits; 0 takes the most likely token.
  public var temperature: Double
  /// Keeps so many of the most likely tokens; 0 keeps all.
  public var topK: Int
  /// Keeps the most likely tokens whose probabilities add up to this; 1 keeps all.
  public var topP: Double
  /// Keeps tokens at least so likely, relative to the most likely one; 0 keeps all.
  public var minP: Double
  /// Keeps the tokens whose surprise is nearest to the expected one and whose probabilities add up to this; 1 keeps all
  /// (Meister et al. 2022).
  public var typicalP = 1.0
  /// Seeds the choice.
  public var seed: UInt64

  /// Qwen's usual settings.
  public init(
    temperature: Double = 0.7, topP: Double = 0.8, topK: Int = 20, minP: Double = 0,
    repetitionPenalty: Double = 1, seed: UInt64 = 42
  ) {
    self.temperature = temperature
    self.topP = topP
    self.topK = topK
    self.minP = minP
    self.repetitionPenalty = repetitionPenalty
    self.seed = seed
  }

  /// The most likely token, always.
  public static let greedy = SamplingOptions(temperature: 0, topP: 1, topK: 0)

  /// Whether something changes the logits before the choice.
  var changesLogits: Bool {
    !logitBias.isEmpty || repetitionPenalty != 1 || frequencyPenalty != 0 || presencePenalty != 0
      || noRepeatNgramSize > 0
  }

  /// How many of the likeliest tokens are chosen among; nil where that is all of them.
  var candidateCount: Int? { temperature == 0 ? 1 : topK > 0 ? topK : nil }

  /// Whether the choice is that of the largest logit as the model gives it.
  var isArgmax: Bool { temperature == 0 && !changesLogits }
}
