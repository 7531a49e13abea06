// A linear map that has a weight and may have an adapter: the combinations are data, not classes.

public import Autograd
public import Tensor

/// y = x·Wᵀ + b, plus the adapter's low-rank part.  x [N, in] → [N, out]
public final class Linear: Module {
  /// [out, in]. Without a value where the weight is quantized or compressed.
  public let weight: Parameter
  /// The weight in fewer bits, [out, in]; nil where it is dense. It is no parameter: nothing trains it.
  package private(set) var packedWeight: PackedWeight?
  /// [out].
  public let bias: Parameter?
  /// The low-rank part, nil without one.
  public var adapter: LoRAAdapter?
  /// The type that the weight takes when it is changed, for one that is kept in fewer bits than are computed with; nil for
  /// its own.
  package var changedDType: DType?
  /// Whether the adapter takes part.
  public var isAdapterEnabled = true
  /// Adapters that rows choose among, in the place of the one; nil without them.
  var choices: AdapterChoices?

  /// Declares a map from `inputSize` to `outputSize`.
  public init(inputSize: Int, outputSize: Int, hasBias: Bool) {
    weight = Parameter(shape: [outputSize, inputSize])
    bias = hasBias ? Parameter(shape: [outputSize]) : nil
  }

  public var children: KeyValuePairs<String, any ModuleNode> {
    switch (packedWeight, bias) {
    case (nil, let bias?): ["weight": weight, "bias": bias]
    case (nil, nil): ["weight": weight]
    case (_?, let bias?): ["bias": bias]
    case (_?, nil): [:]
    }
  }

  /// The weight in 4 bits, [out, in]; nil where it is kept otherwise.
  public var quantizedWeight: QuantizedTensor? {
    if case .nf4(let weight)? = packedWeight { weight } else { nil }
  }

  /// Puts a weight in 4 bits in the place of the dense one; traps when its shape differs.
  public func quantize(to weight: QuantizedTensor) { pack(.nf4(weight)) }

  /// Puts a weight in 12 bits in the place of the dense one, which it equals; traps when its shape differs.
  public func compress(to weight: CompressedTensor) { pack(.compressed(weight)) }

  /// Puts a weight in fewer bits in the place of the dense one; traps when its shape differs.
  package func pack(_ weight: PackedWeight) {
    precondition(
      weight.shape == self.weight.shape, "linear \(self.weight.shape) cannot take \(weight.shape)")
    packedWeight = weight
    self.weight.isTrainable = false
  }

  /// Puts a weight that was compressed without loss back as it was, so that it can be changed.
  package func unpackExactly() {
    guard case .compressed(let compressed)? = packedWeight else { return }
    weight.value = compressed.decompressed()
    packedWeight = nil
  }

  /// Extents of the input and the output.
  public var inputSize: Int { weight.shape[1] }
  /// Extent of the output.
  public var outputSize: Int { weight.shape[0] }

  /// The map with its adapter, where it has one that is enabled.  x [N, in] → [N, out]
  public func callAsFunction(_ x: Variable) -> Variable {
    if let choices, !choices.routes.runs.isEmpty { return routed(x, choices) }
    if let adapter, isAdapterEnabled, let magnitude = adapter.magnitude {
      return weightDecomposed(x, adapter, magnitude)
    }
    return map(x, adapter: isAdapterEnabled ? adapter : nil)
  }

  /// The weight and the bias alone.  x [N, in] → [N, out]
  func withoutAdapter(_ x: Variable) -> Variable { map(x, adapter: nil) }

  private func map(_ x: Variable, adapter active: LoRAAdapter?) -> Variable {
    let tape = x.tape
    let biases = bias.map { [tape.leaf($0)] } ?? []
    let hasBias = bias != nil
    let factors = active.map { [tape.leaf($0.loraA), tape.leaf($0.loraB)] } ?? []
    let lowRank = active.map { LowRankPart(scale: $0.scale, dropout: $0.dropout(on: tape)) }
    if let packedWeight {
      return tape.record(
        PackedLinearMap(weight: packedWeight, hasBias: hasBias, adapter: lowRank),
        [x] + factors + biases)
    }
    let inputs = [x, tape.leaf(weight)] + factors + biases
    guard let lowRank else { return tape.record(LinearMap(hasBias: hasBias), inputs) }
    return tape.record(LoRALinearMap(hasBias: hasBias, adapter: lowRank), inputs)
  }
}
