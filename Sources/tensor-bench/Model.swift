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

  /// What is timed: one of each operation of a training step with so many tokens, and of decoding.
  func benchmarks(tokens: Int, on device: Device) -> [Benchmark] {
    let (c, heads, f) = sizes
    let (kvHeads, dim, vocabulary, rank) = (8, 128, 151_936, 16)
    var ops: [OpCase] = []
    // The maps of a layer: q, k (v is the same), o, gate (up is the same), down; then the gradients of the widest.
    let maps = [(heads * dim, c), (kvHeads * dim, c), (c, heads * dim), (f, c), (c, f)]
    for (n, k) in maps { ops.append(OpCases.matmul(m: tokens, n: n, k: k)) }
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
    let isHost = device.name == Device.cpu.name
    if !isHost {
      // The head and its gradient, for pieces of the loss as long as a GPU takes them.
      for m in [331, 1024, 2048, 4096] {
        ops += [
          OpCases.matmul(m: m, n: vocabulary, k: c),
          OpCases.matmul(m: m, n: c, k: vocabulary, transposeB: false),
        ]
      }
    }
    let lowRank = maps.flatMap { n, k in
      [WeightForm.nf4, .bfloat16].flatMap { form in
        [false, true].map { hasBackward in
          Benchmark.lowRank(
            tokens: tokens, outputs: n, columns: k, rank: rank, form, hasBackward: hasBackward)
        }
      }
    }
    // Decoding, one conversation and four: each weight is read once. GPUs have no kernels for compressed ones.
    let few = WeightForm.allCases.filter { isHost || $0 != .compressed }.flatMap { form in
      [1, 4].map { Benchmark.fewRows($0, outputs: f, columns: c, form) }
    }
    return ops.map { Benchmark($0) } + lowRank + few
  }
}
