// What an adapter adds to a weight, as numbers: the form in which it is merged, exported and compared.

import Autograd
import NN
import OrderedJSON
package import QwenModel
package import SFT
package import Tensor

/// The change s·B·A of one weight, with the length m of every row where the adapter is weight-decomposed.
package struct LowRankDelta: Sendable {
  /// A [R, in] and B [out, R], float32.
  package var a: Tensor, b: Tensor
  /// s.
  package var scale: Double
  /// m [out]; nil but for DoRA.
  package var magnitude: Tensor?

  /// A change of rank R.
  package init(a: Tensor, b: Tensor, scale: Double, magnitude: Tensor? = nil) {
    (self.a, self.b, self.scale, self.magnitude) = (a, b, scale, magnitude)
  }

  /// R.
  package var rank: Int { a.shape[0] }

  /// `rows` of W + s·B·A, or of m ⊙ (W + s·B·A) / ‖W + s·B·A‖ row by row.  base: those rows of W, [rows, in]
  package func merged(into base: Tensor, rows: Range<Int>) -> Tensor {
    var weight = base
    weight.accumulateMatmul(b.rows(rows), a, alpha: scale)
    guard let magnitude else { return weight }
    let norms = weight.dotOfRows(weight).squareRoot().cast(to: .float32)
    let factors = magnitude.rows(rows) / norms  // [rows]
    return weight.transposed().multipliedByRow(factors).transposed()
  }

  /// The adapter in `folder`, by the paths of the linear maps of `model`, on the unchanged base. The weights of `model` are
  /// needed only by adapters that begin with factors of them.
  package static func read(_ folder: String, for model: QwenModel, on device: Device)
    throws(AdapterError) -> (config: AdapterConfig, deltas: [String: LowRankDelta])
  {
    let config = try AdapterFile.read(folder, into: model, dropout: 0, on: device)
    var deltas: [String: LowRankDelta] = [:]
    for (path, adapter) in model.namedAdapters() {
      let tensors = Dictionary(
        uniqueKeysWithValues: adapter.convertedTensors.map { ($0.name, $0.tensor) })
      guard let a = tensors["lora_A.weight"], let b = tensors["lora_B.weight"] else { continue }
      deltas[path] = LowRankDelta(
        a: a, b: b, scale: adapter.scale, magnitude: tensors["lora_magnitude_vector"])
    }
    return (config, deltas)
  }

  /// Attaches `deltas` to the linear maps of `model`.
  package static func attach(_ deltas: [String: LowRankDelta], to model: QwenModel) {
    for (index, (path, linear)) in model.namedLinears().enumerated() {
      guard let delta = deltas[path] else { continue }
      let adapter = LoRAAdapter(
        inputSize: linear.inputSize, outputSize: linear.outputSize, rank: delta.rank,
        scale: delta.scale, dropout: 0, index: index, useDoRA: delta.magnitude != nil)
      adapter.loraA.value = delta.a
      adapter.loraB.value = delta.b
      if let magnitude = delta.magnitude { adapter.magnitude?.value = magnitude }
      linear.adapter = adapter
    }
  }
}
