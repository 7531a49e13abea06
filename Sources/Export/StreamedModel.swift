// A forward pass in which only the weights of one block are there at a time, so that a model can be checked on a machine that
// could not hold it in float32.

import Autograd
import NN
import QwenModel
import SFT
package import Tensor

/// A model whose weights are read while it runs, with an adapter where there is one. It computes in float32.
package struct StreamedModel {
  private let source: any WeightSource
  private let deltas: [String: LowRankDelta]
  private let device: Device

  /// The model of `source` with `deltas` added.
  package init(
    _ source: any WeightSource, deltas: [String: LowRankDelta] = [:], on device: Device = .cpu
  ) {
    (self.source, self.deltas, self.device) = (source, deltas, device)
  }

  /// V.
  package var vocabSize: Int { source.config.vocabSize }

  /// The scores of the next token after the given positions of the documents behind one another.  → [P · V]
  package func logits(_ documents: [[Int32]], at positions: [Int]) throws(ExportError) -> [Float] {
    let model = QwenModel(source.config)
    model.computeDType = .float32
    LowRankDelta.attach(deltas, to: model)
    let parameters = Dictionary(grouping: model.namedParameters()) { Self.block(of: $0.key) }
    let batch = TokenBatch(documents, on: device)
    let tape = Tape(mode: .inference)
    for block in [Self.embedding, Self.norm] { try load(parameters[block] ?? []) }
    // A block that cannot be read is zeros until the pass has come back here.
    var failure: ExportError?
    let hidden = model.hidden(batch, on: tape) { index in
      for (_, parameter) in parameters[index - 1] ?? [] { parameter.dematerialize() }
      let current = parameters[index] ?? []
      do throws(ExportError) {
        if failure == nil { return try load(current) }
      } catch { failure = error }
      for (_, parameter) in current { parameter.value = .zeros(parameter.shape, on: device) }
    }
    if let failure { throw failure }
    for (_, parameter) in parameters[source.config.numHiddenLayers - 1] ?? [] {
      parameter.dematerialize()
    }
    if !source.config.tieWordEmbeddings {
      for (_, parameter) in parameters[Self.embedding] ?? [] { parameter.dematerialize() }
      try load(parameters[Self.head] ?? [])
    }
    do throws(DeviceError) {
      let (values, size) = (try hidden.value.array(of: Float.self), source.config.hiddenSize)
      let chosen = positions.flatMap { values[$0 * size..<($0 + 1) * size] }
      let rows = Tensor(chosen, shape: [positions.count, size], on: device)
      let head = model.lmHead.map { $0(tape.constant(rows)) } ?? model.logits(tape.constant(rows))
      return try head.value.array(of: Float.self)
    } catch { throw .device(error) }
  }

  private func load(_ parameters: [(key: String, parameter: Parameter)]) throws(ExportError) {
    for (key, parameter) in parameters {
      parameter.value = try source.weight(key, shape: parameter.shape.dimensions)
    }
  }

  // Beside the numbers of blocks, and of what comes before the first one.
  private static let embedding = -2
  private static let norm = -3
  private static let head = -4

  /// The number of the block that a tensor belongs to; below 0 for what is outside the blocks.
  private static func block(of key: String) -> Int {
    let parts = key.split(separator: ".")
    if parts.count > 2, parts[1] == "layers", let number = Int(parts[2]) { return number }
    if key.hasPrefix("lm_head.") { return head }
    return key.hasPrefix("model.norm.") ? norm : embedding
  }
}
