// One sequence that is being decoded beside others: what was asked, and how far it is.

import Tensor

/// What to continue, and how.
public struct DecodingRequest: Sendable {
  /// The tokens to continue; at least one.
  public var prompt: [Int32]
  /// The most tokens to add.
  public var maxNewTokens: Int
  /// Tokens that end the sequence.
  public var stopIDs: Set<Int32>
  /// How tokens are chosen.
  public var options: SamplingOptions
  /// Tells the random choices of one sequence from those of another with the same seed.
  public var stream = 0
  /// The adapter of the decoder's routes that the sequence goes through; nil for the base model.
  public var adapter: Int?
  /// How many of the most likely tokens are reported with each token; nil for no log-probabilities at all.
  public var topLogprobs: Int?

  /// A request for the base model, without log-probabilities.
  public init(
    prompt: [Int32], maxNewTokens: Int, stopIDs: Set<Int32>, options: SamplingOptions
  ) {
    self.prompt = prompt
    self.maxNewTokens = maxNewTokens
    self.stopIDs = stopIDs
    self.options = options
  }
}

/// A token that a step has added to a sequence, or the sequence's end without one.
public struct DecodedToken: Sendable {
  /// Why a sequence has ended.
  public enum End: Sendable, Hashable {
    /// The token is one of those that end it.
    case stopToken
    /// There are as many tokens as were asked for.
    case length
    /// The logits were not finite numbers; there is no token.
    case notFinite
  }

  /// The number that ``BatchDecoder/add(_:count:)`` gave.
  public let sequence: Int
  /// The token; −1 where there is none.
  public let id: Int32
  /// How likely it was, where asked for.
  public let logprobs: TokenLogprobs?
  /// Why it is the last of its sequence; nil where more follow.
  public let end: End?
}

/// The state of one sequence.
final class DecodingSequence {
  /// Its number.
  var id: Int
  /// What was asked for.
  let request: DecodingRequest
  /// Keys and values of the tokens that have gone through the model.
  var cache: KVCache
  /// Tokens that have not: the rest of the prompt, or the last token.
  var pending: ArraySlice<Int32>
  /// The tokens added so far.
  var generated: [Int32] = []
  /// Chooses the tokens.
  var sampler: Sampler
  /// Numbers of sequences that begin with the same prompt and wait for it to have gone through the model.
  var followers: [(id: Int, stream: Int)] = []

  init(
    id: Int, _ request: DecodingRequest, cache: KVCache, pending: ArraySlice<Int32>, stream: Int
  ) {
    self.id = id
    self.request = request
    self.cache = cache
    self.pending = pending
    sampler = Sampler(request.options, stream: stream, prompt: request.prompt)
  }

  /// Whether the prompt has gone through the model.
  var isDecoding: Bool { !generated.isEmpty }

  /// Goes on as the sequence of a follower, before the prompt has gone through the model.
  func take(over follower: (id: Int, stream: Int)) {
    id = follower.id
    sampler = Sampler(request.options, stream: follower.stream, prompt: request.prompt)
  }

  /// A sequence of the same prompt, which has just gone through the model.
  func forked(id: Int, stream: Int) -> DecodingSequence {
    DecodingSequence(id: id, request, cache: cache.forked(), pending: [], stream: stream)
  }
}
