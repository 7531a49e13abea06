// Matrix products and the kernels of a transformer block, forward and backward, on plain tensors.

package import Tensor

extension OpCases {
  static let products: [OpCase] = {
    var cases: [OpCase] = []
    let sizes = [
      (1, 1, 1), (1, 17, 3), (3, 1, 17), (1, 1, 9), (5, 7, 1), (17, 33, 9), (64, 48, 40), (0, 3, 2),
      (3, 2, 0), (1, 3, 0), (1, 70, 131), (1, 33, 64), (97, 131, 80), (64, 70, 200),
    ]
    for (m, n, k) in sizes {
      for (ta, tb) in [(false, false), (false, true), (true, false), (true, true)] {
        cases.append(matmul(m: m, n: n, k: k, transposeA: ta, transposeB: tb))
        cases.append(accumulateMatmul(m: m, n: n, k: k, transposeA: ta, transposeB: tb))
      }
    }
    return cases + [manyRows, widened]
  }()

  /// Products so large that they are split into pieces, panels and prepared kernels.
  package static let largeProducts = products([
    (20, 520, 260, false, false), (130, 520, 260, false, true), (130, 260, 520, true, false),
    (520, 2, 4096, false, true), (9, 33_000, 40, false, true), (9, 33_000, 40, false, false),
    (520, 4096, 2, false, false), (520, 2, 4096, false, false), (40, 33_000, 9, true, false),
  ])

  /// Sums so long that float32 keeps to the tolerance only where they are taken in parts, as the CPU takes them.
  package static let longSums = products([
    (9, 40, 33_000, false, true), (9, 40, 33_000, false, false),
  ])

  private static func products(_ sizes: [(Int, Int, Int, Bool, Bool)]) -> [OpCase] {
    sizes.flatMap { m, n, k, transposeA, transposeB in
      [
        matmul(m: m, n: n, k: k, transposeA: transposeA, transposeB: transposeB),
        accumulateMatmul(m: m, n: n, k: k, transposeA: transposeA, transposeB: transposeB),
      ]
    }
  }

  private static let manyRows = OpCase(
    "matmul [2, 3, 5] · [7, 5]ᵀ", [.normal([2, 3, 5]), .normal([7, 5])],
    kernel: { [Tensor.matmul($0[0], $0[1], transposeB: true, alpha: 0.5)] },
    oracle: { [ReferenceOps.matmul($0[0], $0[1], transposeB: true, alpha: 0.5)] })

  private static let widened = OpCase(
    "bfloat16 product added to float32",
    [.normal([7, 17]), .normal([9, 17]), .normal([7, 9], .statistic)], dtypes: [.bfloat16]
  ) { x in
    var y = x[2]
    y.accumulateMatmul(x[0], x[1], transposeB: true)
    return [y]
  } oracle: { x in
    [ReferenceOps.matmul(x[0], x[1], transposeB: true).zip(x[2]) { $0 + $1 }]
  }

  /// op(a)·op(b).
  package static func matmul(
    m: Int, n: Int, k: Int, transposeA: Bool = false, transposeB: Bool = true
  ) -> OpCase {
    let a: Shape = transposeA ? [k, m] : [m, k]
    let b: Shape = transposeB ? [n, k] : [k, n]
    return OpCase(
      "matmul \(a)\(transposeA ? "ᵀ" : "") · \(b)\(transposeB ? "ᵀ" : "")",
      [.normal(a), .normal(b)],
      flops: 2 * Double(m) * Double(n) * Double(k), elementTraffic: Double(m * k + n * k + m * n),
      kernel: { [Tensor.matmul($0[0], transposeA: transposeA, $0[1], transposeB: transposeB)] },
      oracle: {
        [ReferenceOps.matmul($0[0], transposeA: transposeA, $0[1], transposeB: transposeB)]
      })
  }

  private static func accumulateMatmul(
    m: Int, n: Int, k: Int, transposeA: Bool, transposeB: Bool
  ) -> OpCase {
    let a: Shape = transposeA ? [k, m] : [m, k]
    let b: Shape = transposeB ? [n, k] : [k, n]
    return OpCase(
      "accumulate matmul \(a)\(transposeA ? "ᵀ" : "") · \(b)\(transposeB ? "ᵀ" : "")",
      [.normal(a), .normal(b), .normal([m, n])]
    ) { x in
      var y = x[2]
      y.accumulateMatmul(
        x[0], transposeA: transposeA, x[1], transposeB: transposeB, alpha: 1.5, beta: 0.5)
      return [y]
    } oracle: { x in
      let product = ReferenceOps.matmul(
        x[0], transposeA: transposeA, x[1], transposeB: transposeB, alpha: 1.5)
      return [product.zip(x[2]) { $0 + 0.5 * $1 }]
    }
  }
}

extension OpCases {
  static let transformerKernels: [OpCase] = {
    var cases = attentions
    let matrices: [Shape] = [
      [1, 1], [1, 8], [3, 17], [17, 33], [2, 3, 5], [0, 4], [40, 1027], [2, 2600], [2, 5304],
    ]
    for shape in matrices {
      cases.append(rmsNorm(shape))
      cases += [true, false].map { rmsNormBackward(shape, needsWeight: $0) }
    }
    let heads = [
      (1, 1, 2, 1), (3, 2, 8, 4), (5, 3, 17, 4), (4, 1, 34, 17), (1, 2, 40, 16), (0, 2, 4, 2),
      (33, 5, 128, 64), (2, 3, 132, 66), (3, 2, 256, 128), (2, 1, 260, 130),
    ]
    for (rows, heads, dim, half) in heads {
      for inverse in [false, true] {
        cases.append(rotary(rows: rows, heads: heads, headDim: dim, half: half, inverse: inverse))
      }
      cases.append(rotatedNorm(rows: rows, heads: heads, headDim: dim, half: half))
      cases += [true, false].map {
        rotatedNormBackward(
          rows: rows, heads: heads, headDim: dim, half: half, needsWeight: $0)
      }
    }
    // Rows so many that a warp of a GPU goes through all heads of one: among so many numbers some cancel to less than bfloat16 is exact for.
    for var many in [
      rotatedNorm(rows: 2050, heads: 3, headDim: 64, half: 32),
      rotatedNormBackward(rows: 2050, heads: 3, headDim: 64, half: 32, needsWeight: false),
    ] {
      many.dtypes = [.float32, .float64]
      cases.append(many)
    }
    let many = (0..<40).map { $0 * 7 % 11 }
    let tables: [([Int], Shape)] = [
      ([0], [1, 1]), ([2, 0, 2, 4, 1], [5, 17]), ([3, 3, 0], [4, 9]), ([], [3, 4]),
      (many, [11, 1027]), ((0..<600).map { $0 * $0 % 13 }, [140, 19]),
    ]
    for (rows, table) in tables {
      cases += [embedding(rows: rows, table: table), scatter(rows: rows, table: table)]
    }
    return cases
  }()

  private static let attentions: [OpCase] = {
    let sizes: [(tokens: Int, heads: Int, kvHeads: Int, dim: Int, documents: [Int]?)] = [
      (1, 1, 1, 1, nil), (1, 4, 2, 8, nil), (3, 2, 1, 5, nil), (17, 4, 2, 17, nil),
      (9, 6, 2, 3, [0, 1, 4, 4, 9]), (5, 3, 3, 8, [0, 1, 2, 3, 4, 5]), (0, 2, 1, 4, [0, 0]),
      (0, 2, 1, 4, [0]), (150, 2, 1, 16, [0, 133, 150]), (300, 4, 4, 8, nil),
      // The head dims of models, over more than one tile of 64 or 128 rows.
      (150, 2, 1, 64, [0, 70, 71, 150]), (100, 2, 2, 128, [0, 13, 100]), (70, 2, 1, 256, nil),
      (200, 2, 1, 64, nil), (180, 3, 1, 128, [0, 135, 180]), (150, 3, 1, 256, [0, 66, 67, 150]),
    ]
    let whole = sizes.flatMap { s in
      [
        attention(
          queries: s.tokens, keys: s.tokens, heads: s.heads, keyValueHeads: s.kvHeads,
          headDim: s.dim, documents: s.documents),
        attentionBackward(
          tokens: s.tokens, heads: s.heads, keyValueHeads: s.kvHeads, headDim: s.dim,
          documents: s.documents),
      ]
    }
    let cached: [(queries: Int, keys: Int, offset: Int, documents: [Int]?)] = [
      (1, 1, 0, nil), (1, 17, 16, nil), (3, 20, 17, nil), (4, 9, 2, nil),
      (5, 12, 4, [0, 6, 7, 12]),
      (0, 5, 5, nil), (140, 160, 20, nil),
    ]
    return whole
      + cached.map {
        attention(
          queries: $0.queries, keys: $0.keys, heads: 4, keyValueHeads: 2, headDim: 9,
          documents: $0.documents, keyOffset: $0.offset)
      }
      + [
        attention(
          queries: 70, keys: 170, heads: 4, keyValueHeads: 2, headDim: 64, keyOffset: 100),
        attention(
          queries: 20, keys: 40, heads: 2, keyValueHeads: 1, headDim: 128,
          documents: [0, 9, 12, 40], keyOffset: 11),
        attention(
          queries: 150, keys: 190, heads: 2, keyValueHeads: 1, headDim: 128, keyOffset: 40),
        attention(
          queries: 100, keys: 140, heads: 2, keyValueHeads: 1, headDim: 256, keyOffset: 40),
        // Few queries: more rows than a kernel takes at once, head dims of whole vectors, documents.
        attention(queries: 1, keys: 67, heads: 16, keyValueHeads: 8, headDim: 128, keyOffset: 66),
        attention(queries: 3, keys: 30, heads: 14, keyValueHeads: 2, headDim: 64, keyOffset: 27),
        attention(queries: 1, keys: 83, heads: 4, keyValueHeads: 2, headDim: 64, keyOffset: 82),
        attention(queries: 1, keys: 70, heads: 2, keyValueHeads: 1, headDim: 256, keyOffset: 69),
        attention(queries: 4, keys: 11, heads: 3, keyValueHeads: 1, headDim: 40, keyOffset: 7),
        // More keys than a task has, of which the first queries do not see the last part.
        attention(queries: 3, keys: 1026, heads: 2, keyValueHeads: 1, headDim: 32, keyOffset: 1023),
        attention(
          queries: 4, keys: 23, heads: 2, keyValueHeads: 1, headDim: 80,
          documents: [0, 20, 21, 23],
          keyOffset: 19),
      ]
  }()

  /// Pairs of a query and a key that it sees, in documents of which all queries are present.
  private static func visiblePairs(_ tokens: Int, _ documents: [Int]?) -> Double {
    let offsets = documents ?? [0, tokens]
    return zip(offsets, offsets.dropFirst()).reduce(0) {
      $0 + Double($1.1 - $1.0) * Double($1.1 - $1.0 + 1) / 2
    }
  }

  /// Causal attention, with logSumExp.
  package static func attention(
    queries: Int, keys: Int, heads: Int, keyValueHeads: Int, headDim: Int, documents: [Int]? = nil,
    keyOffset: Int = 0
  ) -> OpCase {
    let scale = 1 / Double(headDim).squareRoot()
    let reference = ReferenceOps.Attention(
      scale: scale, documents: documents, keyOffset: keyOffset)
    let visible = queries == keys ? visiblePairs(keys, documents) : Double(queries * keys)
    return OpCase(
      "attention kernel [\(queries)/\(keys), \(heads)/\(keyValueHeads), \(headDim)] \(documents ?? []) from \(keyOffset)",
      [
        .normal([queries, heads, headDim]), .normal([keys, keyValueHeads, headDim]),
        .normal([keys, keyValueHeads, headDim]),
      ], dtypes: [.float32, .float64, .bfloat16],
      // The probabilities, and the output.
      termSize: 0.25, roundings: 2, flops: 4 * visible * Double(heads * headDim),
      elementTraffic: 2 * Double((keys * keyValueHeads + queries * heads) * headDim)
    ) { x in
      let (out, logSumExp) = Tensor.attention(
        q: x[0], k: x[1], v: x[2], scale: scale, documents: documents, keyOffset: keyOffset)
      return [out, logSumExp]
    } oracle: { x in
      let (out, logSumExp) = ReferenceOps.attention(x[0], x[1], x[2], reference)
      return [out, logSumExp]
    }
  }

  /// Gradients of causal attention. The benchmark subtracts nothing: the forward pass inside counts as well.
  package static func attentionBackward(
    tokens: Int, heads: Int, keyValueHeads: Int, headDim: Int, documents: [Int]? = nil
  ) -> OpCase {
    let scale = 1 / Double(headDim).squareRoot()
    let reference = ReferenceOps.Attention(scale: scale, documents: documents)
    let (q, kv): (Shape, Shape) = ([tokens, heads, headDim], [tokens, keyValueHeads, headDim])
    return OpCase(
      "attention backward [\(tokens), \(heads)/\(keyValueHeads), \(headDim)] \(documents ?? [])",
      [.normal(q), .normal(q), .normal(kv), .normal(kv)], dtypes: [.float32, .float64, .bfloat16],
      // The probabilities, the gradient of the scores, the output that it is computed from, and the result.
      termSize: 1, roundings: 4,
      flops: 14 * visiblePairs(tokens, documents) * Double(heads * headDim)
    ) { x in
      let (out, logSumExp) = Tensor.attention(
        q: x[1], k: x[2], v: x[3], scale: scale, documents: documents, keyOffset: 0)
      let (dq, dk, dv) = Tensor.attentionBackward(
        dOut: x[0], q: x[1], k: x[2], v: x[3], out: out, logSumExp: logSumExp, scale: scale,
        documents: documents)
      return [dq, dk, dv]
    } oracle: { x in
      let (dq, dk, dv) = ReferenceOps.attentionBackward(dOut: x[0], x[1], x[2], x[3], reference)
      return [dq, dk, dv]
    }
  }

  /// RMSNorm with its statistics.
  package static func rmsNorm(_ shape: Shape) -> OpCase {
    OpCase(
      "rms_norm kernel \(shape)", [.normal(shape), .uniform([shape.columnCount], 0.5..<1.5)],
      elementTraffic: 2 * Double(shape.count)
    ) { x in
      let (y, rstd) = x[0].rmsNorm(weight: x[1], epsilon: 1e-6)
      return [y, rstd]
    } oracle: { x in
      let (y, rstd) = ReferenceOps.rmsNorm(x[0], x[1], epsilon: 1e-6)
      return [y, rstd]
    }
  }

  /// Gradients of RMSNorm.
  package static func rmsNormBackward(_ shape: Shape, needsWeight: Bool) -> OpCase {
    OpCase(
      "rms_norm backward \(shape)\(needsWeight ? " with weight" : "")",
      [
        .normal(shape), .normal(shape), .uniform([shape.columnCount], 0.5..<1.5),
        .uniform([shape.rowCount], 0.5..<1.5, .statistic),
      ], elementTraffic: (needsWeight ? 5 : 3) * Double(shape.count)
    ) { x in
      let (dx, dWeight) = Tensor.rmsNormBackward(
        dy: x[0], x: x[1], weight: x[2], rstd: x[3], needsWeight: needsWeight)
      return [dx] + (dWeight.map { [$0] } ?? [])
    } oracle: { x in
      let (dx, dWeight) = ReferenceOps.rmsNormBackward(
        dy: x[0], x: x[1], weight: x[2], rstd: x[3])
      return needsWeight ? [dx, dWeight] : [dx]
    }
  }

  /// Rotary embedding of the first 2·half dims.
  package static func rotary(rows: Int, heads: Int, headDim: Int, half: Int, inverse: Bool)
    -> OpCase
  {
    OpCase(
      "rotary kernel [\(rows), \(heads), \(headDim)] half \(half)\(inverse ? " inverse" : "")",
      [.normal([rows, heads, headDim])] + angles(rows: rows, half: half),
      elementTraffic: 2 * Double(rows * heads * headDim)
    ) { x in
      [x[0].rotated(cos: x[1], sin: x[2], positions: x[3], inverse: inverse)]
    } oracle: { x in
      [
        ReferenceOps.rotated(
          x[0], cos: x[1], sin: x[2], positions: x[3].indices, inverse: inverse)
      ]
    }
  }

  /// What a rotation of `rows` tokens takes beside them.
  private static func angles(rows: Int, half: Int) -> [OpInput] {
    [
      .uniform([rows + 3, half], -1..<1, .statistic),
      .uniform([rows + 3, half], -1..<1, .statistic),
      .indices((0..<rows).map { rows + 2 - $0 }),
    ]
  }

  /// RMSNorm of heads and their rotation.
  package static func rotatedNorm(rows: Int, heads: Int, headDim: Int, half: Int) -> OpCase {
    OpCase(
      "rotated norm kernel [\(rows), \(heads), \(headDim)] half \(half)",
      [.normal([rows, heads, headDim]), .uniform([headDim], 0.5..<1.5)]
        + angles(rows: rows, half: half),
      // The norm is rounded before it is rotated.
      termSize: 1, roundings: 2, elementTraffic: 2 * Double(rows * heads * headDim)
    ) { x in
      let (y, rstd) = x[0].rotatedNormalized(
        weight: x[1], epsilon: 1e-6, cos: x[2], sin: x[3], positions: x[4])
      return [y, rstd]
    } oracle: { x in
      let (y, rstd) = ReferenceOps.rmsNorm(x[0], x[1], epsilon: 1e-6)
      return [ReferenceOps.rotated(y, cos: x[2], sin: x[3], positions: x[4].indices), rstd]
    }
  }

  /// Gradients of the same.
  package static func rotatedNormBackward(
    rows: Int, heads: Int, headDim: Int, half: Int, needsWeight: Bool
  ) -> OpCase {
    let shape: Shape = [rows, heads, headDim]
    return OpCase(
      "rotated norm backward \(shape) half \(half)\(needsWeight ? " with weight" : "")",
      [
        .normal(shape), .normal(shape), .uniform([headDim], 0.5..<1.5),
        .uniform([rows * heads], 0.5..<1.5, .statistic),
      ] + angles(rows: rows, half: half),
      // The weight's is a float32 sum of what was rounded before: in bfloat16 no tighter than the sum of the roundings.
      dtypes: needsWeight ? [.float32, .float64] : [.float32, .float64, .bfloat16], termSize: 1,
      roundings: 2, elementTraffic: (needsWeight ? 5 : 3) * Double(shape.count)
    ) { x in
      let (dx, dWeight) = x[1].rotatedNormalizedBackward(
        dy: x[0], weight: x[2], rstd: x[3], cos: x[4], sin: x[5], positions: x[6],
        needsWeight: needsWeight)
      return [dx] + (dWeight.map { [$0] } ?? [])
    } oracle: { x in
      let dy = ReferenceOps.rotated(
        x[0], cos: x[4], sin: x[5], positions: x[6].indices, inverse: true)
      let (dx, dWeight) = ReferenceOps.rmsNormBackward(dy: dy, x: x[1], weight: x[2], rstd: x[3])
      return needsWeight ? [dx, dWeight] : [dx]
    }
  }

  /// table[ids].
  package static func embedding(rows: [Int], table: Shape) -> OpCase {
    OpCase(
      "embedding kernel \(rows.count) of \(table)", [.uniform(table), .indices(rows)],
      elementTraffic: 2 * Double(rows.count * table[1]), kernel: { [$0[0].gatheredRows($0[1])] },
      oracle: { [ReferenceOps.embedding($0[0], $0[1].indices)] })
  }

  private static func scatter(rows: [Int], table: Shape) -> OpCase {
    OpCase(
      "scatter \(rows.count) into \(table)",
      [.normal(table), .normal([rows.count, table[1]]), .indices(rows)],
      dtypes: [.float32, .float64]
    ) { x in
      var y = x[0]
      y.accumulateScattered(x[1], ids: x[2])
      return [y]
    } oracle: {
      [ReferenceOps.scatterAdded($0[0], $0[1], $0[2].indices)]
    }
  }
}
