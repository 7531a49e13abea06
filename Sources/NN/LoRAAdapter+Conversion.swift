// PiSSA and OLoRA take their first product out of the base weight. For files it is put back: s·(B·A − B₀·A₀) on the unchanged
// base is a plain adapter of twice the rank, and it holds all four factors to the bit.

package import Autograd
package import Tensor

extension LoRAAdapter {
  /// The tensors of the adapter on the unchanged base, by PEFT's names: [A; A₀] [2R, in] and [B, −B₀] [out, 2R] where the base
  /// weight has lost s·B₀·A₀, else A and B.
  package var convertedTensors: [(name: String, tensor: Tensor)] {
    children.compactMap { name, node in
      (node as? Parameter).map { (name, converted($0)) }
    }
  }

  private func converted(_ parameter: Parameter) -> Tensor {
    guard let initialFactors else { return parameter.value }
    if parameter === loraA {
      return Tensor.concatenatedRows([loraA.value, initialFactors.a])
    }
    if parameter === loraB {
      let (b, first) = (loraB.value.transposed(), initialFactors.b.transposed())
      return Tensor.concatenatedRows([b, first.negated()]).transposed()
    }
    return parameter.value
  }

  /// The shape of a parameter in ``convertedTensors``.
  package func convertedShape(of parameter: Parameter) -> Shape {
    guard initialFactors != nil else { return parameter.shape }
    if parameter === loraA { return [2 * rank, parameter.shape[1]] }
    if parameter === loraB { return [parameter.shape[0], 2 * rank] }
    return parameter.shape
  }

  /// What ``convertedTensors`` made of a parameter, taken apart: the parameter's own value, and A₀ or B₀ where there is one.
  package func parts(of parameter: Parameter, from tensor: Tensor) -> (
    value: Tensor, initial: Tensor?
  ) {
    guard initialFactors != nil, parameter !== magnitude else { return (tensor, nil) }
    if parameter === loraA {
      return (tensor.rows(0..<rank).copied(), tensor.rows(rank..<2 * rank).copied())
    }
    return (tensor.columns(0..<rank), tensor.columns(rank..<2 * rank).negated())
  }
}
