// Where a model that runs block by block takes its weights from.

package import QwenModel
package import Tensor

/// The tensors of a model, one at a time.
package protocol WeightSource: AnyObject {
  /// The architecture.
  var config: QwenConfig { get }
  /// The tensor `key` of extents `shape`: float32, or bfloat16 for a matrix.
  func weight(_ key: String, shape: [Int]) throws(ExportError) -> Tensor
}

/// The weights of a model folder as they are, the adapter left out.
package final class BaseWeights: WeightSource {
  package var config: QwenConfig { weights.config }
  private let weights: MergedWeights
  private let quantization: QuantizedTensor.Format?

  /// The weights of `weights`; with `quantization` the linear maps of blocks are quantized to NF4 and back.
  package init(_ weights: MergedWeights, quantization: QuantizedTensor.Format? = nil) {
    (self.weights, self.quantization) = (weights, quantization)
  }

  package func weight(_ key: String, shape: [Int]) throws(ExportError) -> Tensor {
    if let quantization, !weights.isQuantized, key.hasSuffix("_proj.weight") {
      return try weights.requantized(key, as: quantization)
    }
    return try weights.base(key, shape: shape)
  }
}
