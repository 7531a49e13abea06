// A table of vectors, looked up by id.

public import Autograd
public import Tensor

/// y[n] = weight[ids[n]].  ids int32 [N] → [N, C]
public final class Embedding: Module {
  /// [V, C].
  public let weight: Parameter

  /// NEFTune (Jain et al. 2024): in training every number that is looked up gets uniform noise of at most this over
  /// √(length · size); nil for none.
  public var noiseAlpha: Double?

  /// Declares a table of `count` vectors of `size` channels.
  public init(count: Int, size: Int) { weight = Parameter(shape: [count, size]) }

  public var children: KeyValuePairs<String, any ModuleNode> { ["weight": weight] }

  /// The vectors of `ids`, as numbers of type `dtype` (the table's where nil), of documents of which the longest has
  /// `length` tokens.  [N] → [N, C]
  ///
  /// Noise is drawn only where the tape has random numbers.
  public func callAsFunction(_ ids: Tensor, on tape: Tape, length: Int, dtype: DType? = nil)
    -> Variable
  {
    let vectors = tape.record(EmbeddingLookup(ids: ids, dtype: dtype), [tape.leaf(weight)])
    guard let noiseAlpha, let randomness = tape.randomness else { return vectors }
    let bound = noiseAlpha / (Double(length) * Double(weight.shape[1])).squareRoot()
    let noise = Tensor.uniform(
      like: vectors.value, low: -bound, high: bound, stream: randomness.embeddingNoise)
    return vectors + tape.constant(noise)
  }
}
