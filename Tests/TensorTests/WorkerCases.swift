// The kernels that must give the same bits for every number of threads: all but those that call a matrix library.

import Tensor
import TensorTestSupport

/// Runs every kernel without a matrix product, at sizes that make several tasks.
enum WorkerCases {
  /// A matrix that is worth a screen.
  private static let large = Tensor.normal(
    [65_537, 128], stream: RandomStream(seed: 1, purpose: .test, index: 2))

  static func results() -> [Tensor] {
    let shape: Shape = [40, 1027]
    var cases: [OpCase] = UnaryOp.allCases.map { OpCases.unary($0, shape) }
    cases += BinaryOp.allCases.map { OpCases.binary($0, shape) }
    cases += [
      OpCases.scale(shape), OpCases.accumulate(shape), OpCases.addRow(shape),
      OpCases.swiGLU(shape), OpCases.swiGLUBackward(shape), OpCases.sumOfRows([300, 333]),
      OpCases.squaredNorm([70_001]), OpCases.rmsNorm(shape),
      OpCases.rmsNormBackward(shape, needsWeight: true),
      OpCases.rotary(rows: 33, heads: 5, headDim: 128, half: 64, inverse: false),
      OpCases.rotatedNorm(rows: 33, heads: 5, headDim: 128, half: 64),
      OpCases.rotatedNormBackward(rows: 33, heads: 5, headDim: 128, half: 64, needsWeight: true),
      OpCases.attention(
        queries: 2, keys: 1100, heads: 6, keyValueHeads: 2, headDim: 64, keyOffset: 1098),
      OpCases.attentionBackward(
        tokens: 150, heads: 6, keyValueHeads: 2, headDim: 64, documents: [0, 130, 150]),
      OpCases.embedding(rows: (0..<40).map { $0 % 11 }, table: [11, 1027]),
      OpCases.crossEntropy(rows: 5, vocabulary: 5003, withGradient: true),
      OpCases.adamW([70_001], step: 3),
      OpCases.adamW8Bit([70_001], step: 3), OpCases.dropout(shape, probability: 0.1),
    ]
    var results = cases.flatMap { $0.kernel($0.tensors(.float32)) }
    let x = OpInput.normal(shape).tensor(.float32, index: 9, on: .cpu)
    var table = Tensor.zeros([7, 1027])
    table.accumulateScattered(x, ids: Tensor((0..<40).map { Int32($0 * 3 % 7) }))
    results += [
      table, x.sum(), x.argmaxOfRows(), x.transposed(), x.cast(to: .bfloat16), x.copied(),
      .uniform(shape, stream: RandomStream(seed: 1, purpose: .test)),
      .normal(shape, stream: RandomStream(seed: 1, purpose: .test)),
    ]
    // Products with few rows, whose sums have a fixed order.
    let weight = OpInput.normal([700, 1088]).tensor(.float32, index: 10, on: .cpu)
    let few = OpInput.normal([3, 1088]).tensor(.float32, index: 11, on: .cpu)
    let packed: [PackedWeight] = [
      .narrow(weight), .narrow(weight.cast(to: .bfloat16)),
      .nf4(QuantizedTensor(quantizing: weight)),
    ]
    if let compressed = CompressedTensor(large.cast(to: .bfloat16)) {
      let x = OpInput.normal([3, 128]).tensor(.float32, index: 12, on: .cpu)
      results += [
        Tensor.matmul(x, packed: .compressed(compressed), transposeWeight: true),
        compressed.decompressed(),
      ]
    }
    let long = QuantizedTensor(
      quantizing: OpInput.normal([70, 2688]).tensor(.float32, index: 13, on: .cpu))
    results.append(
      Tensor.matmul(
        OpInput.normal([7, 2688]).tensor(.float32, index: 14, on: .cpu), packed: .nf4(long),
        transposeWeight: true))
    results += packed.map { Tensor.matmul(few, packed: $0, transposeWeight: true) }
    results += Tensor.matmul(few, packed: packed.prefix(1).map { PackedTerm($0) })
    let candidates = large.rowScreen()?.candidates(
      for: .normal([2, 128], stream: RandomStream(seed: 1, purpose: .test, index: 1)), count: 3)
    precondition(candidates?.isEmpty == false, "no candidates")
    results += (candidates ?? []).map { Tensor($0) }
    return results
  }
}
