// A linear map that has a weight and may have an adapter: the combinations are data, not classes.

public import Autograd
import Tensor

/// y = x·Wᵀ + b, plus the adapter's low-rank part.  x [N, in] → [N, out]
public final class Linear: Module {
  /// [out, in].
  public let weight: Parameter
  /// [out].
  public let bias: Parameter?
  /// The low-rank part, nil without one.
  public var adapter: LoRAAdapter?
  /// Whether the adapter takes part.
  public var isAdapterEnabled = true

  /// Declares a map from `inputSize` to `outputSize`.
  public init(inputSize: Int, outputSize: Int, hasBias: Bool) {
    weight = Parameter(shape: [outputSize, inputSize])
    bias = hasBias ? Parameter(shape: [outputSize]) : nil
  }

  public var children: KeyValuePairs<String, any ModuleNode> {
    if let bias { ["weight": weight, "bias": bias] } else { ["weight": weight] }
  }

  /// Extents of the input and the output.
  public var inputSize: Int { weight.shape[1] }
  /// Extent of the output.
  public var outputSize: Int { weight.shape[0] }

  /// The map with its adapter, where it has one that is enabled.  x [N, in] → [N, out]
  public func callAsFunction(_ x: Variable) -> Variable {
    let tape = x.tape
    if let adapter, isAdapterEnabled, let magnitude = adapter.magnitude {
      return weightDecomposed(x, adapter, magnitude)
    }
    let weight = tape.leaf(weight)
    let bias = bias.map { tape.leaf($0) }
    guard let adapter, isAdapterEnabled else {
      return tape.record(LinearMap(hasBias: bias != nil), [x, weight] + (bias.map { [$0] } ?? []))
    }
    let primitive = LoRALinearMap(
      hasBias: bias != nil, scale: adapter.scale, dropout: adapter.dropout(on: tape))
    return tape.record(
      primitive,
      [x, weight, tape.leaf(adapter.loraA), tape.leaf(adapter.loraB)] + (bias.map { [$0] } ?? []))
  }
}
