// Many sequences decoded together: the weights are read once a step for all of them. Sequences join and leave between
// steps. It knows tokens alone: texts, stop strings and queues are its caller's.

import Autograd
public import NN
public import Tensor

/// Decodes several sequences at once, each with keys, values, sampler, stop tokens and adapter of its own.
///
/// The linear maps see the rows of all sequences together, attention each sequence alone. So the logits of a sequence
/// depend on its neighbours by no more than the rounding of a matrix product of another height.
public final class BatchDecoder {
  /// Rows of prompts that go through the model in one step, beside sequences that are being answered and without such.
  public struct PromptRows: Sendable, Hashable {
    /// Beside answers: more of them let running answers wait longer.
    public var besideAnswers: Int
    /// With no answer to wait.
    public var alone: Int

    /// Sizes at which a step stays short and the matrix products are efficient.
    public init(besideAnswers: Int = 128, alone: Int = 512) {
      self.besideAnswers = besideAnswers
      self.alone = alone
    }
  }

  private let model: QwenModel
  private let routes: AdapterRoutes?
  private let promptRows: PromptRows
  private let tape = Tape(mode: .inference)
  private let device: Device
  private var sequences: [DecodingSequence] = []
  private var nextID = 0
  private var prefixes: PrefixCaches
  private let headScreen: HeadScreen?
  /// Steps whose tokens were chosen without all logits.
  package private(set) var screenedStepCount = 0

  /// A decoder for `model`, whose adapters are those of `routes`.
  ///
  /// `keptPrefixTokenCount` tokens of past sequences are remembered: sequences that begin like one of them take up its
  /// keys and values. With `screensHead`, on devices where that is faster, greedy choices and those among the top k are made without
  /// all logits of a large vocabulary: the same ones, for the memory of the head in 8 bits.
  public init(
    model: QwenModel, routes: AdapterRoutes? = nil, promptRows: PromptRows = PromptRows(),
    keptPrefixTokenCount: Int = 0, screensHead: Bool = true
  ) {
    self.model = model
    self.routes = routes
    self.promptRows = promptRows
    device = Device(backend: model.reference.backend, preferredComputeDType: .float32)
    prefixes = PrefixCaches(maximumTokenCount: keptPrefixTokenCount)
    headScreen = screensHead ? HeadScreen(model) : nil
  }

  /// Sequences that are not done.
  public var count: Int { sequences.reduce(0) { $0 + 1 + $1.followers.count } }

  /// Adds `count` sequences of one prompt, which goes through the model once, and returns their numbers. Their random
  /// choices are those of the streams from `request.stream` on.
  ///
  /// Traps when the prompt is empty or has tokens that the model does not know.
  public func add(_ request: DecodingRequest, count: Int = 1) -> [Int] {
    precondition(
      !request.prompt.isEmpty
        && request.prompt.allSatisfy { $0 >= 0 && Int($0) < model.config.vocabSize },
      "BatchDecoder: the prompt has no tokens, or one outside the vocabulary")
    precondition(count > 0 && request.maxNewTokens > 0, "BatchDecoder: nothing to decode")
    let ids = Array(nextID..<nextID + count)
    nextID += count
    let cache =
      prefixes.take(request.prompt, adapter: request.adapter)
      ?? KVCache(
        layers: model.config.numHiddenLayers,
        capacity: request.prompt.count + min(request.maxNewTokens, 256))
    let (total, isTooLarge) = request.prompt.count.addingReportingOverflow(request.maxNewTokens)
    cache.expectedLimit = isTooLarge ? .max : total
    let sequence = DecodingSequence(
      id: ids[0], request, cache: cache, pending: request.prompt[cache.count...],
      stream: request.stream)
    sequence.followers = ids.dropFirst().map { (id: $0, stream: request.stream + $0 - ids[0]) }
    sequences.append(sequence)
    return ids
  }

  /// Drops a sequence that is not wanted any more; one that is done already is no error.
  public func remove(_ id: Int) {
    for (index, sequence) in sequences.enumerated() {
      if sequence.id == id {
        if sequence.followers.isEmpty {
          retire(sequences.remove(at: index))
        } else {
          // The prompt is still wanted.
          sequence.take(over: sequence.followers.removeFirst())
        }
        return
      }
      sequence.followers.removeAll { $0.id == id }
    }
  }

  /// One pass through the model: a token for every sequence that is being answered, and a part of the prompts that wait.
  public func step() throws(DeviceError) -> [DecodedToken] {
    let parts = nextParts()
    guard !parts.isEmpty else { return [] }
    routes?.runs = runs(of: parts)
    let batch = TokenBatch(
      continuing: parts.map { Array($0.tokens) }, from: parts.map { $0.sequence.cache.count },
      on: device)
    let hidden = model.hidden(batch, on: tape, caches: parts.map { $0.sequence.cache }).value
    var ready: [(sequence: DecodingSequence, row: Int32)] = []
    for (index, part) in parts.enumerated() {
      part.sequence.pending = part.sequence.pending.dropFirst(part.tokens.count)
      if part.sequence.pending.isEmpty {
        ready.append((part.sequence, Int32(batch.documents[index + 1] - 1)))
      }
    }
    // The head is no linear map with adapters of its own here, so rows may change their places.
    routes?.runs = []
    guard !ready.isEmpty else { return [] }
    let last = hidden.gatheredRows(Tensor(ready.map(\.row), on: device))  // [B, C]
    return try choose(for: ready.map(\.sequence), hidden: last)
  }

  // MARK: One step

  /// Tokens of a sequence that go through the model together.
  private struct Part {
    let sequence: DecodingSequence
    let tokens: ArraySlice<Int32>
  }

  /// Every answer's last token, and prompts in the order of their coming while there is room; adapters beside each other.
  private func nextParts() -> [Part] {
    let isAnswering = sequences.contains { $0.isDecoding }
    var room = isAnswering ? promptRows.besideAnswers : promptRows.alone
    var parts: [Part] = []
    for sequence in sequences {
      if sequence.isDecoding {
        parts.append(Part(sequence: sequence, tokens: sequence.pending))
      } else if room > 0 {
        let tokens = sequence.pending.prefix(room)
        room -= tokens.count
        parts.append(Part(sequence: sequence, tokens: tokens))
      }
    }
    let order = parts.indices.sorted {
      let (a, b) = (parts[$0].sequence.request.adapter, parts[$1].sequence.request.adapter)
      return a == b ? $0 < $1 : (a ?? -1) < (b ?? -1)
    }
    return order.map { parts[$0] }
  }

  /// The rows of `parts` that go through each adapter.
  private func runs(of parts: [Part]) -> [AdapterRoutes.Run] {
    var runs: [AdapterRoutes.Run] = []
    var row = 0
    for part in parts {
      let rows = row..<row + part.tokens.count
      row = rows.upperBound
      guard let adapter = part.sequence.request.adapter else { continue }
      if let last = runs.last, last.adapter == adapter {
        runs[runs.count - 1] = .init(rows: last.rows.lowerBound..<row, adapter: adapter)
      } else {
        runs.append(.init(rows: rows, adapter: adapter))
      }
    }
    return runs
  }

  /// The next token of each of `ready`, whose last hidden states are `hidden` [B, C].
  private func choose(for ready: [DecodingSequence], hidden: Tensor) throws(DeviceError)
    -> [DecodedToken]
  {
    if let tokens = try chooseAmongLikeliest(for: ready, hidden: hidden) { return tokens }
    let logits = model.logits(tape.constant(hidden)).value  // [B, V]
    let squares = try logits.dotOfRows(logits).doubles()
    let needsHost = ready.map { sequence in
      !sequence.request.options.isArgmax || sequence.request.topLogprobs != nil
        || !sequence.followers.isEmpty
    }
    let best =
      needsHost.contains(false) ? try logits.argmaxOfRows().array(of: Int32.self) : []
    var tokens: [DecodedToken] = []
    for (row, sequence) in ready.enumerated() {
      let host =
        needsHost[row]
        ? try logits.rows(row..<row + 1).cast(to: .float32).array(of: Float.self) : []
      for one in withFollowers(sequence) {
        guard squares[row].isFinite else {
          tokens.append(DecodedToken(sequence: one.id, id: -1, logprobs: nil, end: .notFinite))
          drop(one)
          continue
        }
        let id = needsHost[row] ? one.sampler.next(host) : best[row]
        tokens.append(take(id, one, host))
      }
    }
    return tokens
  }

  /// The same without the logits of tokens that are too unlikely to matter; nil where all may.
  private func chooseAmongLikeliest(for ready: [DecodingSequence], hidden: Tensor)
    throws(DeviceError) -> [DecodedToken]?
  {
    guard let headScreen, headScreen.mayAnswer(rows: ready.count) else { return nil }
    var (count, remaining) = (0, 0)
    var others: [Set<Int32>] = []
    for sequence in ready {
      let request = sequence.request
      guard request.topLogprobs == nil, let decisive = sequence.sampler.decisive else {
        return nil
      }
      count = max(count, decisive.count)
      others.append(decisive.others)
      remaining = max(remaining, request.maxNewTokens - sequence.generated.count)
    }
    let logits = try headScreen.logits(
      after: hidden, count: count, others: others, remaining: remaining, on: tape)
    guard let logits else { return nil }
    screenedStepCount += 1
    var tokens: [DecodedToken] = []
    for (row, sequence) in ready.enumerated() {
      for one in withFollowers(sequence) {
        tokens.append(take(one.sampler.next(logits[row]), one, []))
      }
    }
    return tokens
  }

  /// A sequence and those that have waited for its prompt, which go their own ways from here.
  private func withFollowers(_ sequence: DecodingSequence) -> [DecodingSequence] {
    let siblings = sequence.followers.map { sequence.forked(id: $0.id, stream: $0.stream) }
    sequence.followers = []
    sequences += siblings
    return [sequence] + siblings
  }

  /// Adds a token to its sequence.
  private func take(_ id: Int32, _ sequence: DecodingSequence, _ logits: [Float]) -> DecodedToken {
    sequence.generated.append(id)
    sequence.pending = [id]
    let request = sequence.request
    let end: DecodedToken.End? =
      request.stopIDs.contains(id)
      ? .stopToken : sequence.generated.count >= request.maxNewTokens ? .length : nil
    if end != nil {
      drop(sequence)
      retire(sequence)
    }
    return DecodedToken(
      sequence: sequence.id, id: id,
      logprobs: request.topLogprobs.map { TokenLogprobs(logits, of: id, top: $0) }, end: end)
  }

  private func drop(_ sequence: DecodingSequence) {
    sequences.removeAll { $0 === sequence }
  }

  /// Keeps what a sequence leaves for others that begin like it.
  private func retire(_ sequence: DecodingSequence) {
    guard prefixes.maximumTokenCount > 0, sequence.isDecoding else { return }
    prefixes.add(
      sequence.request.prompt + sequence.generated, adapter: sequence.request.adapter,
      sequence.cache)
  }
}
