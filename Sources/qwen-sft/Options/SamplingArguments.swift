// How answers are chosen, with transformers' names.

import ArgumentParser
import QwenModel

/// How answers are chosen.
struct SamplingArguments: ParsableArguments {
  @Option(help: ArgumentHelp("Longest answer in tokens.", valueName: "n")) var maxNewTokens = 128
  @Option(help: ArgumentHelp("0 takes the most likely token.", valueName: "t"))
  var temperature = 0.7
  @Option(help: ArgumentHelp("Share of probability to choose from.", valueName: "p")) var topP = 0.8
  @Option(help: ArgumentHelp("Tokens to choose from; 0 for all.", valueName: "k")) var topK = 20
  @Option(help: ArgumentHelp("Least relative probability.", valueName: "p")) var minP = 0.0
  @Option(help: ArgumentHelp("Share of probability of typical tokens; 1 for all.", valueName: "p"))
  var typicalP = 1.0
  @Option(help: ArgumentHelp("Penalty of repeated tokens; 1 for none.", valueName: "x"))
  var repetitionPenalty = 1.0
  @Option(
    help: ArgumentHelp(
      "Tokens that come in this row only once, the prompt's included; 0 for none.", valueName: "n"))
  var noRepeatNgramSize = 0
  @Option(help: ArgumentHelp("Penalty of tokens that the answer has.", valueName: "x"))
  var presencePenalty = 0.0
  @Option(help: ArgumentHelp("Penalty for each time the answer has a token.", valueName: "x"))
  var frequencyPenalty = 0.0
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
    try require((0...1).contains(typicalP), "typical_p", typicalP, "0 to 1")
    try require(
      repetitionPenalty.isFinite && repetitionPenalty > 0, "repetition_penalty", repetitionPenalty,
      "a number above 0")
    try require(
      (0...1000).contains(noRepeatNgramSize), "no_repeat_ngram_size", noRepeatNgramSize, "0 to 1000"
    )
    for (name, value) in [
      ("presence_penalty", presencePenalty), ("frequency_penalty", frequencyPenalty),
    ] {
      try require((-2...2).contains(value), name, value, "-2 to 2")
    }
  }

  /// The settings of a generator.
  var options: SamplingOptions {
    var options = SamplingOptions(
      temperature: temperature, topP: topP, topK: topK, minP: minP,
      repetitionPenalty: repetitionPenalty, seed: seed)
    options.typicalP = typicalP
    options.noRepeatNgramSize = noRepeatNgramSize
    options.presencePenalty = presencePenalty
    options.frequencyPenalty = frequencyPenalty
    return options
  }
}
