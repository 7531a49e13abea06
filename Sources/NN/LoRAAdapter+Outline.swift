// An adapter's sizes without its numbers.

import Autograd
package import Tensor

extension LoRAAdapter {
  /// An adapter of the same sizes and settings without contents.
  package func outline(on backend: SizingBackend) -> LoRAAdapter {
    let copy = LoRAAdapter(
      inputSize: loraA.shape[1], outputSize: loraB.shape[0], rank: rank, scale: scale,
      dropout: dropoutProbability, index: index, useDoRA: magnitude != nil)
    for (target, source) in [
      (copy.loraA, loraA), (copy.loraB, loraB), (copy.magnitude, magnitude),
    ] {
      guard let target, let source else { continue }
      target.value = backend.tensor(source.shape, source.value.dtype)
      target.isTrainable = source.isTrainable
    }
    return copy
  }
}
