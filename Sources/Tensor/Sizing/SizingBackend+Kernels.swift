// Kernels that do nothing but ask for the scratch memory that those of the CPU ask for. MemoryPlanTests compares whole
// training steps on both.

import CKernels

extension SizingBackend: ElementwiseKernels {
  package func unary(_ op: UnaryOp, _ x: Operand, into y: Destination) {}
  package func binary(_ op: BinaryOp, _ a: Operand, _ b: Operand, into y: Destination) {}
  package func axpy(_ alpha: Double, _ x: Operand, into y: Destination) {}
  package func scale(_ x: Operand, by alpha: Double, into y: Destination) {}
  package func binary(
    _ op: BinaryOp, _ x: Operand, row: Operand, rows: Int, columns: Int, into y: Destination
  ) {}
  package func swiGLU(gate: Operand, up: Operand, into y: Destination) {}
  package func swiGLUBackward(
    dy: Operand, gate: Operand, up: Operand, dGate: Destination, dUp: Destination
  ) {}
}

extension SizingBackend: ReductionKernels {
  package func sumRows(_ x: Operand, rows: Int, columns: Int, beta: Double, into y: Destination) {}
  package func dotRows(_ a: Operand, _ b: Operand, rows: Int, columns: Int, into y: Destination) {}
  package func sum(_ x: Operand, into y: Destination) {}
  package func argmaxRows(_ x: Operand, rows: Int, columns: Int, into y: Destination) {}
}

extension SizingBackend: MatMulKernels {
  package func matmul(
    _ a: Operand, transposeA: Bool, _ b: Operand, transposeB: Bool, m: Int, n: Int, k: Int,
    alpha: Double, beta: Double, into c: Destination
  ) {
    guard m > 0, n > 0, k > 0 else { return }
    if m <= CPUBackend.fewRows, !transposeA, transposeB, a.dtype != .float64 {
      multiplyFewRows(m: m, .narrow(b), columns: k, beside: a.dtype)
    } else if BlockedProduct.isFastest(for: a.dtype) {
      scratch(
        BlockedProduct(
          m: m, n: n, k: k, result: c.dtype, panels: BlockedProduct.panels(a.dtype, b.dtype)
        ).scratchByteCounts)
    } else if a.dtype == .bfloat16, !BFloat16.isMultipliable {
      let pieces = CPUBackend.WidenedPieces(
        transposeA: transposeA, transposeB: transposeB, m: m, n: n, k: k)
      scratch(
        4 * pieces.blockRows * pieces.columns,
        4 * pieces.part * (transposeB ? k : pieces.blockRows),
        transposeB
          ? 4 * pieces.part * pieces.blockRows : c.dtype == .float32 ? 0 : 4 * pieces.part * n)
    }
  }

  /// The product of few rows with a weight of so many columns, and with low-rank parts of together `ranks`, each a multiple of 16.
  private func multiplyFewRows(
    m: Int, _ w: PackedOperand, columns: Int, beside dtype: DType, ranks: Int = 0
  ) {
    let form = w.fewRowsForm(beside: dtype)
    scratch(
      form == .pairs ? 0 : 4 * m * form.paddedColumns(columns), form == .pairs ? 0 : 4 * columns,
      4 * m * ranks)
  }
}

extension SizingBackend: QuantizationKernels {
  package func quantizeNF4(
    _ x: Operand, blockSize: Int, into codes: Destination, absmax: Destination
  ) {}

  package func quantizeScales(
    _ absmax: Operand, into codes: Destination, scales: Destination
  ) -> Float { 0 }

  /// Of the size that matrices of trained models have: one number in a thousand has no code.
  package func compress(_ w: Operand, rows: Int, columns: Int, forManyRows: Bool)
    -> CompressedTensor?
  {
    guard
      CPUBackend.compresses(w.dtype, rows: rows, columns: columns, forManyRows: forManyRows)
    else { return nil }
    return CompressedTensor(
      shape: [rows, columns], groups: tensor([rows, columns / 2 * 3], .uint8),
      starts: tensor([rows + 1], .int32), exceptions: tensor([w.count / 1024], .int32),
      upper: .zero)
  }

  package func unpack(_ w: PackedOperand, from first: Int, into y: Destination) {}

  package func matmul(
    _ a: Operand, packed w: PackedOperand, transposeWeight: Bool, m: Int, rows: Int, columns: Int,
    beta: Double, plus lowRank: LowRankOperand?, into c: Destination
  ) {
    guard m > 0, rows > 0, columns > 0 else { return }
    let (n, k) = transposeWeight ? (rows, columns) : (columns, rows)
    let kernels = PackedKernels(
      a, w, into: c, transposeWeight: transposeWeight, m: m, columns: columns)
    if case .blocks = kernels {
      scratch(
        BlockedProduct(
          m: m, n: n, k: k + (lowRank?.rank ?? 0), result: c.dtype,
          panels: BlockedProduct.panels(a.dtype, w.dtype(beside: a.dtype))
        ).scratchByteCounts)
      return
    }
    if case .fewRows = kernels {
      let rank = ((lowRank?.rank ?? 0) + 15) / 16 * 16
      multiplyFewRows(m: m, w, columns: columns, beside: a.dtype, ranks: rank)
      return
    }
    if let lowRank {
      matmul(
        lowRank.h, transposeA: false, lowRank.b, transposeB: transposeWeight, m: m, n: n,
        k: lowRank.rank, alpha: lowRank.scale, beta: beta, into: c)
    }
    switch kernels {
    case .dense(let w):
      matmul(
        a, transposeA: false, w, transposeB: transposeWeight, m: m, n: n, k: k, alpha: 1,
        beta: beta, into: c)
      return
    case .fewRows, .blocks, .unpacking: break
    }
    let isDirect = transposeWeight && m <= CPUBackend.directRows
    let tileRows = max(1, min(rows, CPUBackend.tileSize / columns))
    let tile = 4 * columns * (isDirect ? Workers.count : tileRows)
    if a.dtype == .float32, !isDirect, BlockedProduct.isFastest(for: .float32) {
      let (n, k) = transposeWeight ? (tileRows, columns) : (columns, tileRows)
      scratch(
        [tile]
          + BlockedProduct(m: m, n: n, k: k, result: .float32, panels: ck_panels_f32)
          .scratchByteCounts)
    } else if a.dtype != .bfloat16 {
      scratch(tile)
    } else if w.isUnpackedWhole(m: m) {
      let blocks =
        BlockedProduct.isFastest(for: .bfloat16)
        ? BlockedProduct(
          m: m, n: n, k: k, result: c.dtype, panels: BlockedProduct.panels(.bfloat16, .bfloat16)
        ).scratchByteCounts : []
      scratch([2 * rows * columns] + blocks)
    } else {
      scratch(4 * a.count, 4 * c.count, tile)
    }
  }

  package func matmul(_ a: Operand, packed products: [PackedProduct], m: Int, columns: Int) {
    if let first = products.first,
      PackedKernels.commonForm(a, products, m: m, columns: columns) != nil
    {
      let ranks = products.reduce(0) { $0 + (($1.lowRank?.rank ?? 0) + 15) / 16 * 16 }
      multiplyFewRows(m: m, first.weight, columns: columns, beside: a.dtype, ranks: ranks)
      return
    }
    for product in products {
      matmul(
        a, packed: product.weight, transposeWeight: true, m: m, rows: product.rows,
        columns: columns, beta: 0, plus: product.lowRank, into: product.result)
    }
  }
}

extension SizingBackend: NormKernels {
  package func rmsNorm(
    _ x: Operand, weight: Operand, epsilon: Double, rows: Int, columns: Int, into y: Destination,
    rstd: Destination
  ) {}
  package func rmsNormBackward(
    dy: Operand, x: Operand, weight: Operand, rstd: Operand, rows: Int, columns: Int,
    dx: Destination, dWeight: Destination?
  ) {}
}

extension SizingBackend: RotaryKernels {
  package func rotate(
    _ x: Operand, _ rotation: Rotation, inverse: Bool, normalizedBy norm: HeadNorm?,
    into y: Destination
  ) {}
  package func rotateNormalizedBackward(
    dy: Operand, x: Operand, weight: Operand, rstd: Operand, _ rotation: Rotation, dx: Destination,
    dWeight: Destination?
  ) {}
}

extension SizingBackend: AttentionKernels {
  package func attention(
    q: Operand, k: Operand, v: Operand, shape: AttentionShape, into out: Destination,
    logSumExp: Destination
  ) {
    let tile = AttentionTile(shape)
    if shape.queryCount <= CPUBackend.fewQueries, q.dtype != .float64 {
      let padded = (shape.headDim + 31) / 32 * 32
      let rows = min(
        CPUBackend.fewRows, CPUBackend.fewQueries * shape.heads / max(shape.keyValueHeads, 1))
      let parts = shape.keyCount / CPUBackend.fewQueryKeys + shape.documentOffsets.count
      let slots = parts * shape.queryCount * shape.heads
      let workers = min(Workers.count, parts * shape.keyValueHeads)
      scratch(
        4 * rows * (padded + CPUBackend.fewQueryKeys) * workers, 4 * slots * padded, 4 * slots)
      return
    }
    let narrow = q.dtype == .bfloat16 && BFloat16.isMultipliable ? 2 : 4
    let widened = q.dtype == .bfloat16 && narrow == 4
    let workers = min(Workers.count, tile.count * shape.heads)
    scratch(
      widened ? 4 * q.count : 0, widened ? 4 * k.count : 0, widened ? 4 * v.count : 0,
      widened ? 4 * out.count : 0, 4 * tile.widest * workers, narrow * tile.widest * workers,
      4 * tile.tallest * shape.headDim * workers)
  }

  package func attentionBackward(
    dOut: Operand, q: Operand, k: Operand, v: Operand, out: Operand, logSumExp: Operand,
    shape: AttentionShape, dq: Destination, dk: Destination, dv: Destination
  ) {
    let tile = AttentionTile(shape)
    let narrow = q.dtype == .bfloat16 && BFloat16.isMultipliable ? 2 : 4
    let queries = q.dtype == .bfloat16 && narrow == 4 ? 4 * q.count : 0
    let keys = queries > 0 ? 4 * k.count : 0
    let parts = shape.headParts(documents: tile.documentCount)
    let workers = min(Workers.count, tile.documentCount * shape.keyValueHeads * parts)
    scratch(
      queries, queries, queries, keys, keys, queries, keys, keys, 8 * tile.widest * workers,
      2 * narrow * tile.widest * workers, 4 * tile.tallest * shape.headDim * workers,
      8 * parts * k.count)
  }

  /// The largest tile of query rows and the keys they see, and how many there are.
  private struct AttentionTile {
    var (widest, tallest, count, documentCount) = (0, 0, 0, 0)

    init(_ shape: AttentionShape) {
      let offsets = shape.documentOffsets
      for (start, end) in zip(offsets, offsets.dropFirst()) where end > start {
        let length = end - start
        let height = min(length, AttentionShape.tileRows(keys: length))
        let last = (length - 1) % height + 1
        // The last tile sees all keys; the one before it, which is whole, all but the last one's.
        widest = max(widest, last * length, height * (length - last))
        tallest = max(tallest, height)
        count += (length + height - 1) / height
        documentCount += 1
      }
    }
  }
}

extension SizingBackend: EmbeddingKernels {
  package func gatherRows(
    _ table: Operand, ids: Operand, rows: Int, columns: Int, into y: Destination
  ) {}
  package func scatterAddRows(
    _ x: Operand, ids: Operand, rows: Int, columns: Int, into table: Destination
  ) {}
}

extension SizingBackend: LossKernels {
  package func crossEntropy(
    logits: Destination, targets: Operand, rows: Int, columns: Int, gradientScale: Operand?,
    nll: Destination, isCorrect: Destination
  ) {}
  package func lossRows(vocabulary: Int, _ dtype: DType) -> Int {
    counted.lossRows(vocabulary: vocabulary, dtype)
  }
}

extension SizingBackend: RandomKernels {
  package func random(_ y: Destination, _ distribution: Distribution, stream: RandomStream) {}
  package func dropout(
    _ x: Operand, probability: Double, stream: RandomStream, into y: Destination
  ) {}
}

extension SizingBackend: OptimizerKernels {
  package func adamW(_ updates: [AdamWUpdate]) {}
  package func squaredNorms(_ xs: [Operand], into y: Destination) {}
  package func scaleAll(_ xs: [Destination], by alpha: Double) {}
}

extension SizingBackend: RecordingKernels {
  package func makeRecorder() -> (any WorkRecorder)? { nil }
}

extension SizingBackend: ScreeningKernels {
  package var screenedRowLimit: Int { 0 }
  package func makeScreen(_ w: Operand, rows: Int, columns: Int) -> (any RowScreen)? { nil }
}
