// A model's sizes without its numbers: what counts memory runs it in the model's place.

import Autograd
import NN
package import Tensor

extension QwenModel {
  /// A model of the same sizes, types and adapters without contents.
  package func outline(on backend: SizingBackend) -> QwenModel {
    let copy = QwenModel(config)
    copy.computeDType = computeDType
    copy.model.embedTokens.noiseAlpha = model.embedTokens.noiseAlpha
    for ((_, linear), (_, source)) in zip(copy.namedLinears(), namedLinears()) {
      if let weight = source.packedWeight { linear.pack(weight.outline(on: backend)) }
      linear.adapter = source.adapter?.outline(on: backend)
      linear.isAdapterEnabled = source.isAdapterEnabled
    }
    for ((_, parameter), (_, source)) in zip(copy.namedParameters(), namedParameters()) {
      parameter.value = backend.tensor(source.shape, source.value.dtype)
      parameter.isTrainable = source.isTrainable
    }
    return copy
  }

  /// Bytes of all weights and adapters, in whatever form they are kept.
  package var weightByteCount: Int {
    let dense = namedParameters().reduce(0) {
      $0 + ($1.parameter.isMaterialized ? $1.parameter.value.byteCount : 0)
    }
    return namedLinears().reduce(dense) { $0 + ($1.linear.packedWeight?.byteCount ?? 0) }
  }

  /// Bytes that are saved by matrices which are compressed without loss.
  package var compressionSaving: Int {
    namedLinears().reduce(0) { sum, entry in
      guard case .compressed(let weight)? = entry.linear.packedWeight else { return sum }
      return sum + 2 * weight.shape.count - weight.byteCount
    }
  }

  /// Puts matrices that were compressed without loss back as they were.
  package func decompress() {
    for (_, linear) in namedLinears() { linear.unpackExactly() }
  }

  /// Bytes of weights that lie in mapped files.
  package var mappedByteCount: Int {
    let dense = namedParameters().reduce(0) { sum, entry in
      guard entry.parameter.isMaterialized else { return sum }
      let value = entry.parameter.value
      return sum + (value.storage.isWritable ? 0 : value.byteCount)
    }
    return namedLinears().reduce(dense) { $0 + ($1.linear.quantizedWeight?.mappedByteCount ?? 0) }
  }
}
