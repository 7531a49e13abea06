// What a request says about the choice of tokens: OpenAI's fields, and those of other servers under their usual names.

import OrderedJSON
import QwenModel

extension Fields {
  /// The settings of the request, `defaults` where it says nothing.
  func sampling(_ defaults: SamplingOptions, vocabulary: Int) throws(APIError) -> SamplingOptions {
    var options = defaults
    options.temperature = try number("temperature", 0...100) ?? defaults.temperature
    options.topP = try number("top_p", 0...1) ?? defaults.topP
    // −1 is all, too.
    options.topK = max(0, try integer("top_k", -1...(.max)) ?? defaults.topK)
    options.minP = try number("min_p", 0...1) ?? defaults.minP
    options.typicalP = try number("typical_p", 0...1) ?? defaults.typicalP
    options.presencePenalty = try number("presence_penalty", -2...2) ?? 0
    options.frequencyPenalty = try number("frequency_penalty", -2...2) ?? 0
    options.repetitionPenalty =
      try number("repetition_penalty", 0.01...100) ?? defaults.repetitionPenalty
    options.noRepeatNgramSize = try integer("no_repeat_ngram_size", 0...1000) ?? 0
    if let seed = try integer("seed", .min...(.max)) {
      options.seed = UInt64(bitPattern: Int64(seed))
    } else {
      options.seed = .random(in: 0 ... .max)
    }
    for (key, value) in try object("logit_bias") ?? [:] {
      guard let id = Int32(key), id >= 0, Int(id) < vocabulary else {
        throw .invalid("logit_bias", "logit_bias has a token \"\(key)\" that the model has not")
      }
      guard let bias = value.doubleValue, (-100...100).contains(bias) else {
        throw .invalid("logit_bias", "logit_bias of \(key) is no number from -100 to 100")
      }
      options.logitBias[id] = bias
    }
    return options
  }
}
