// The shapes of the Qwen3 models that are timed, as operations of the common table.

import ArgumentParser
import Tensor
import TensorTestSupport

/// A model whose shapes are used.
enum Model: String, ExpressibleByArgument, CaseIterable {
  case small = "0.6B"
  case medium = "4B"

  /// Hidden size, query heads, intermediate size; key/value heads, head dim and vocabulary are the same for both.
  private var sizes: (hidden: Int, heads: Int, intermediate: Int) {
    switch self {
    case .small: (1024, 16, 3072)
    case .medium: (2560, 32, 9728)
    }
  }

  /// What is timed: one of each operation of a training step.
  var benchmarks: [Benchmark] {
    let (c, heads, f) = sizes
    let (kvHeads, dim, vocabulary, tokens, rank) = (8, 128, 151_936, 512, 16)
    var ops: [OpCase] = []
    // The maps of a layer: q, k (v is the same), o, gate (up is the same), down; then the gradients of the widest.
    for (n, k) in [(heads * dim, c), (kvHeads * dim, c), (c, heads * dim), (f, c), (c, f)] {
      ops.append(OpCases.matmul(m: tokens, n: n, k: k))
    }
    ops += [
      OpCases.matmul(m: tokens, n: c, k: f, transposeB: false),
      OpCases.matmul(m: f, n: c, k: tokens, transposeA: true, transposeB: false),
      OpCases.matmul(m: tokens, n: rank, k: c), OpCases.matmul(m: tokens, n: f, k: rank),
      OpCases.rmsNorm([tokens, c]), OpCases.rmsNorm([tokens, heads, dim]),
      OpCases.rmsNormBackward([tokens, c], needsWeight: false),
      OpCases.rmsNormBackward([tokens, c], needsWeight: true),
      OpCases.rotary(rows: tokens, heads: heads, headDim: dim, half: dim / 2, inverse: false),
      OpCases.rotatedNorm(rows: tokens, heads: heads, headDim: dim, half: dim / 2),
      OpCases.rotatedNormBackward(
        rows: tokens, heads: heads, headDim: dim, half: dim / 2, needsWeight: false),
      OpCases.swiGLU([tokens, f]), OpCases.swiGLUBackward([tokens, f]),
      OpCases.accumulate([tokens, c]), OpCases.binary(.add, [tokens, c]),
      OpCases.dropout([tokens, c], probability: 0.05),
      OpCases.sumOfRows([tokens, c]), OpCases.squaredNorm([f, c]),
      OpCases.embedding(rows: (0..<tokens).map { $0 * 7919 % vocabulary }, table: [vocabulary, c]),
      OpCases.adamW([f, c], step: 10),
    ]
    for length in [512, 2048] {
      ops += [
        OpCases.attention(
          queries: length, keys: length, heads: heads, keyValueHeads: kvHeads, headDim: dim),
        OpCases.attentionBackward(
          tokens: length, heads: heads, keyValueHeads: kvHeads, headDim: dim),
      ]
    }
    ops += [
      OpCases.attention(
        queries: 1, keys: 2048, heads: heads, keyValueHeads: kvHeads, headDim: dim, keyOffset: 2047),
      OpCases.crossEntropy(rows: 200, vocabulary: vocabulary, withGradient: true),
      OpCases.linearCrossEntropy(
        rows: 200, hidden: c, vocabulary: vocabulary, needsWeight: false),
    ]
    // Decoding, one conversation and four: each weight is read once.
    let numbers = Tensor.normal([f, c], stream: RandomStream(seed: 1, purpose: .test, index: 0))
    let few = WeightForm.allCases.flatMap { form in
      let weight = form.packed(numbers)
      return [1, 4].map { m in
        Benchmark(
          op: OpCase(
            "\(m) rows · \(form.rawValue) [\(f), \(c)]ᵀ", [.normal([m, c])],
            dtypes: [.float32, .bfloat16],
            kernel: { x in [Tensor.matmul(x[0], packed: weight, transposeWeight: true)] },
            oracle: { _ in [] }),
          weightByteCount: Double(f * c) * form.bytesPerWeight)
      }
    }
    return ops.map { Benchmark(op: $0) } + few
  }
}

/// The forms in which a weight is kept while text is generated.
private enum WeightForm: String, CaseIterable {
  case bfloat16, compressed, nf4

  /// Of NF4 codes, and the scales in 8 bits.
  var bytesPerWeight: Double {
    switch self {
    case .bfloat16: 2
    case .compressed: 1.5
    case .nf4: 0.516
    }
  }

  /// The weight in this form; as it is where it cannot be compressed.
  func packed(_ weight: Tensor) -> PackedWeight {
    switch self {
    case .bfloat16: .narrow(weight.cast(to: .bfloat16))
    case .compressed:
      CompressedTensor(weight.cast(to: .bfloat16)).map { .compressed($0) }
        ?? .narrow(weight.cast(to: .bfloat16))
    case .nf4: .nf4(QuantizedTensor(quantizing: weight))
    }
  }
}
