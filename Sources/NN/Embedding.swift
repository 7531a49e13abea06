// A table of vectors, looked up by id.

public import Autograd
public import Tensor

/// y[n] = weight[ids[n]].  ids int32 [N] → [N, C]
public final class Embedding: Module {
  /// [V, C].
  public let weight: Parameter

  /// Declares a table of `count` vectors of `size` channels.
  public init(count: Int, size: Int) { weight = Parameter(shape: [count, size]) }

  public var children: KeyValuePairs<String, any ModuleNode> { ["weight": weight] }

  /// The vectors of `ids`, as numbers of type `dtype` (the table's where nil).  [N] → [N, C]
  public func callAsFunction(_ ids: Tensor, on tape: Tape, dtype: DType? = nil) -> Variable {
    tape.record(EmbeddingLookup(ids: ids, dtype: dtype), [tape.leaf(weight)])
  }
}
