// The whole network: embedding, blocks, final norm, head. It knows nothing of devices, adapters or training.

public import Autograd
public import NN
public import Tensor

/// A Qwen2 or Qwen3 causal language model.
public final class QwenModel: Module {
  /// The architecture.
  public let config: QwenConfig
  /// The part that checkpoints call `model`.
  public let model: QwenDecoder
  /// The head; nil where it is tied to the embedding.
  public let lmHead: Linear?
  /// The type in which the network computes; nil for that of its weights. Weights of another type are converted where
  /// they are used, so that float32 parameters can be trained with bfloat16 arithmetic.
  public var computeDType: DType? {
    get { model.computeDType }
    set { model.computeDType = newValue }
  }

  /// Declares a model without values.
  public init(_ config: QwenConfig) {
    self.config = config
    model = QwenDecoder(config)
    lmHead =
      config.tieWordEmbeddings
      ? nil : Linear(inputSize: config.hiddenSize, outputSize: config.vocabSize, hasBias: false)
  }

  public var children: KeyValuePairs<String, any ModuleNode> {
    if let lmHead { ["model": model, "lm_head": lmHead] } else { ["model": model] }
  }

  /// The matrix of the head, [V, C].
  public var headWeight: Parameter { lmHead?.weight ?? model.embedTokens.weight }

  /// Whether linear maps are in 4 bits.
  public var isQuantized: Bool { namedLinears().contains { $0.linear.quantizedWeight != nil } }

  /// The device and element type of the weights.
  package var reference: Tensor { model.embedTokens.weight.value }

  /// The normalised hidden state of every token.  → [N, C]
  ///
  /// `checkpointing` says what blocks keep for backward. Caches, one a document, are for inference tapes.
  public func hidden(
    _ batch: TokenBatch, on tape: Tape, caches: [KVCache] = [], checkpointing: Checkpointing = .off
  ) -> Variable {
    model(batch, on: tape, caches: caches, checkpointing: checkpointing, observe: nil)
  }

  /// The same without a cache; `willRun` is called with the number of each block before it runs, so that weights need not
  /// all be there at once.
  package func hidden(_ batch: TokenBatch, on tape: Tape, willRun: (Int) -> Void) -> Variable {
    model(batch, on: tape, caches: [], checkpointing: .off, observe: nil, willRun: willRun)
  }

  /// Scores of the next token after each of the hidden states.  hidden [N, C] → [N, V]
  public func logits(_ hidden: Variable) -> Variable {
    hidden.tape.record(LinearMap(hasBias: false), [hidden, hidden.tape.leaf(headWeight)])
  }
}

/// Embedding, blocks and final norm (HF `Qwen3Model`).
public final class QwenDecoder: Module {
  /// The embedding, [V, C].
  public let embedTokens: Embedding
  /// The blocks.
  public let layers: ModuleList<DecoderLayer>
  /// The norm behind the last block, [C].
  public let norm: RMSNorm
  private let rotary: RotaryTable
  fileprivate var computeDType: DType?

  /// Declares a decoder without values.
  public init(_ config: QwenConfig) {
    embedTokens = Embedding(count: config.vocabSize, size: config.hiddenSize)
    layers = ModuleList((0..<config.numHiddenLayers).map { DecoderLayer(config, index: $0) })
    norm = RMSNorm(size: config.hiddenSize, epsilon: config.rmsNormEps)
    rotary = RotaryTable(headDim: config.headDim, theta: config.ropeTheta)
  }

  public var children: KeyValuePairs<String, any ModuleNode> {
    ["embed_tokens": embedTokens, "layers": layers, "norm": norm]
  }

  /// Makes the tables of angles that a batch needs, as a pass would.
  package func prepareTables(for batch: TokenBatch, like reference: Tensor) {
    _ = rotary.tables(
      positions: batch.positionCount, dtype: computeDType ?? reference.dtype, like: reference)
  }

  /// The normalised hidden state of every token.  → [N, C]
  package func callAsFunction(
    _ batch: TokenBatch, on tape: Tape, caches: [KVCache], checkpointing: Checkpointing,
    observe: ((Int?, String, Variable) -> Void)?, willRun: (Int) -> Void = { _ in }
  ) -> Variable {
    // 1. Look the tokens up.
    var x = embedTokens(  // [N, C]
      batch.ids, on: tape, length: batch.positionCount, dtype: computeDType)
    observe?(nil, "embed", x)
    // 2. Run the blocks.
    let (cos, sin) = rotary.tables(
      positions: batch.positionCount, dtype: x.value.dtype, like: x.value)
    let context = AttentionContext(
      cos: cos, sin: sin, positions: batch.positions, documents: batch.documents, caches: caches)
    for (index, layer) in layers.elements.enumerated() {
      willRun(index)
      switch checkpointing.memory(ofBlock: index, of: layers.elements.count) {
      case .everything:
        x = layer(x, context, observe: observe.map { observe in { observe(index, $0, $1) } })
      case .products: x = checkpoint(x, keepsProducts: true) { layer($0, context) }
      case .halves:
        let h = checkpoint(x) { layer.attending($0, context) }
        x = checkpoint(h) { layer.expanding($0) }
      case .input: x = checkpoint(x) { layer($0, context) }
      }
    }
    for (index, cache) in caches.enumerated() {
      cache.advance(by: batch.documents[index + 1] - batch.documents[index])
    }
    // 3. Normalise.
    let y = norm(x)
    observe?(nil, "norm", y)
    return y
  }
}
