// The whole hardware contract, in one place. No requirement has a default: a missing kernel does not compile.
// Kernels are destination-passing on dense row-major operands; the caller allocates. Nothing above this file
// asks which device it runs on.
//
// Letters: N rows (tokens of all documents of a batch, never padded), C hidden, H heads, K key/value heads,
// D head dim, V vocab, M selected rows. Sums are kept in float32 (float64 for float64 operands).

/// Everything a compute device must be able to do.
package protocol Backend: AnyObject, Sendable, MemoryKernels, ElementwiseKernels, ReductionKernels,
  MatMulKernels, QuantizationKernels, NormKernels, RotaryKernels, AttentionKernels,
  EmbeddingKernels,
  LossKernels, RandomKernels, OptimizerKernels, RecordingKernels, ScreeningKernels
{
  /// "cpu", "cuda:0".
  var name: String { get }
}

/// What the pool of a backend holds.
public struct MemoryStatistics: Sendable, Equatable {
  /// Bytes in buffers that are in use.
  public var liveByteCount = 0
  /// The largest value `liveByteCount` has had.
  public var peakByteCount = 0
  /// Bytes taken from the system and not given back.
  public var reservedByteCount = 0
  /// How often a request could not be met from the pool.
  public var missCount = 0
  /// The most that kernels take for themselves at a time where tensors without contents do not count it, as on a GPU.
  public var kernelByteCount = 0
}

/// Buffers, copies and conversions.
package protocol MemoryKernels {
  /// A buffer of at least `byteCount` bytes with arbitrary contents, 64-byte aligned.
  func allocate(byteCount: Int) -> Buffer
  /// Gives a buffer back to the pool; its bytes may be reused by the next kernel.
  func release(_ buffer: Buffer)
  /// A buffer over host bytes that stay valid and unchanged, where kernels can read host memory; else nil.
  func borrow(_ bytes: UnsafeRawBufferPointer) -> Buffer?
  /// Host bytes → buffer.
  func copyIn(_ bytes: UnsafeRawBufferPointer, to buffer: Buffer, byteOffset: Int)
  /// Buffer → host bytes; waits for the device and reports its failures.
  func copyOut(_ buffer: Buffer, byteOffset: Int, into bytes: UnsafeMutableRawBufferPointer)
    throws(DeviceError)
  /// y (dense, of shape `extents`) ← x read with `strides` (in elements, outermost first).
  func copyStrided(_ x: Operand, extents: [Int], strides: [Int], into y: Destination)
  /// y ← x, converted (round to nearest even into bfloat16).
  func cast(_ x: Operand, into y: Destination)
  /// Every element ← value.
  func fill(_ y: Destination, with value: Double)
  /// Waits until all work is done and reports failures.
  func synchronize() throws(DeviceError)
  /// Pool figures.
  var memory: MemoryStatistics { get }
  /// Bytes of the device's own memory that are free; nil where it computes in that of the machine, or does not say.
  var freeByteCount: Int? { get }
  /// Makes the current live bytes the new peak.
  func resetPeakMemory()
  /// Memory that waits for use is given back where more than `byteCount` bytes would be held otherwise; nil lifts the limit. Where that memory is
  /// the device's own it waits for the device.
  func limitMemory(to byteCount: Int?)
}

/// Elementwise functions of one argument.
package enum UnaryOp: Sendable, CaseIterable {
  case negate, exponential, sigmoid, silu, square, squareRoot
}
/// Elementwise functions of two arguments of the same shape.
package enum BinaryOp: Sendable, CaseIterable { case add, subtract, multiply, divide }

/// Element by element.
package protocol ElementwiseKernels {
  /// y ← f(x).
  func unary(_ op: UnaryOp, _ x: Operand, into y: Destination)
  /// y ← a ∘ b; y may be a.
  func binary(_ op: BinaryOp, _ a: Operand, _ b: Operand, into y: Destination)
  /// y ← y + α·x (in place; x may be of another float type).
  func axpy(_ alpha: Double, _ x: Operand, into y: Destination)
  /// y ← α·x; y may be x.
  func scale(_ x: Operand, by alpha: Double, into y: Destination)
  /// y[n, c] ← x[n, c] ∘ row[c]; y may be x.
  func binary(
    _ op: BinaryOp, _ x: Operand, row: Operand, rows: Int, columns: Int, into y: Destination)
  /// y ← silu(gate) ⊙ up.
  func swiGLU(gate: Operand, up: Operand, into y: Destination)
  /// dGate ← dy ⊙ up ⊙ silu′(gate), dUp ← dy ⊙ silu(gate); dGate may be gate, and dUp may be up.
  func swiGLUBackward(dy: Operand, gate: Operand, up: Operand, dGate: Destination, dUp: Destination)
}

/// Sums and the largest of a row.
package protocol ReductionKernels {
  /// y[c] ← Σ_n x[n, c] + β·y[c]. y has the accumulation type of x.
  func sumRows(_ x: Operand, rows: Int, columns: Int, beta: Double, into y: Destination)
  /// y[n] ← Σ_c a[n, c]·b[n, c]. y has the accumulation type of a and b.
  func dotRows(_ a: Operand, _ b: Operand, rows: Int, columns: Int, into y: Destination)
  /// y[0] ← Σ x. y has the accumulation type of x.
  func sum(_ x: Operand, into y: Destination)
  /// y[n] ← the lowest index of the largest x[n, ·]. y is int32.
  func argmaxRows(_ x: Operand, rows: Int, columns: Int, into y: Destination)
}

/// Matrix products.
package protocol MatMulKernels {
  /// c ← α·op(a)·op(b) + β·c, row-major; op is the transpose where the flag says so.
  /// a is [m, k] ([k, m] when transposed), b is [k, n] ([n, k] when transposed), c is [m, n].
  func matmul(
    _ a: Operand, transposeA: Bool, _ b: Operand, transposeB: Bool, m: Int, n: Int, k: Int,
    alpha: Double, beta: Double, into c: Destination)
}

/// A matrix in NF4 as kernels read it; see ``QuantizedTensor``.
package struct NF4Operand: Sendable {
  /// The scales of the blocks, as ``QuantizedTensor`` keeps them.
  package enum Scales: Sendable {
    case plain(Operand)
    case nested(codes: Operand, codeBook: Operand, scales: Operand, offset: Float)
  }

  /// uint8 [⌈count / 2⌉].
  package let codes: Operand
  /// float32 [16].
  package let codeBook: Operand
  /// The scales of the blocks.
  package let scales: Scales
  /// Number of elements.
  package let count: Int
  /// Elements that share a scale.
  package let blockSize: Int
}

/// A matrix of bfloat16 in 12 bits an element as kernels read it; see ``CompressedTensor``.
package struct CompressedOperand: Sendable {
  /// uint8, int32 and int32.
  package let groups, starts, exceptions: Operand
  /// The upper bytes that have a code.
  package let upper: SIMD16<UInt8>
  /// Columns, and number of elements.
  package let columns, count: Int
}

/// A weight [rows, columns] that is kept in fewer bits than are computed with, or in as many.
package enum PackedOperand: Sendable {
  /// Elements of a narrower float type, or of the same one.
  case narrow(Operand)
  /// NF4 codes.
  case nf4(NF4Operand)
  /// bfloat16 without loss. Only of backends that compress.
  case compressed(CompressedOperand)
}

/// The low-rank part of a product: s·h·bᵀ where the weight is transposed, b [n, r], and s·h·b where it is not, b [r, n].
package struct LowRankOperand: Sendable {
  /// [m, r], of the type of the other factors.
  package let h: Operand
  /// [n, r] or [r, n].
  package let b: Operand
  /// The extent r.
  package let rank: Int
  /// The factor s.
  package let scale: Double
}

/// A product with a weight W [rows, columns] beside others with the same factor.
package struct PackedProduct: Sendable {
  package let weight: PackedOperand
  package let rows: Int
  /// The low-rank part, nil without one.
  package let lowRank: LowRankOperand?
  /// [m, rows].
  package let result: Destination

  package init(weight: PackedOperand, rows: Int, lowRank: LowRankOperand?, result: Destination) {
    (self.weight, self.rows, self.lowRank, self.result) = (weight, rows, lowRank, result)
  }
}

/// Weights in few bits.
package protocol QuantizationKernels {
  /// Codes and scales of x (float32 or bfloat16), to the bit those of bitsandbytes.
  ///
  /// absmax[b] ← max |x| of block b; codes ← the level nearest to x / absmax, the lower one of two, even elements in the
  /// high half of a byte. codes uint8 [⌈n / 2⌉], absmax float32 [⌈n / blockSize⌉].
  func quantizeNF4(_ x: Operand, blockSize: Int, into codes: Destination, absmax: Destination)
  /// Codes and scales of absmax − offset in blocks of 256, and the offset: the mean of absmax.
  ///
  /// absmax float32 [b], codes uint8 [b], scales float32 [⌈b / 256⌉].
  func quantizeScales(_ absmax: Operand, into codes: Destination, scales: Destination) -> Float
  /// The matrix w [rows, columns] in fewer bits and without loss; nil where nothing would be gained in products of a few rows with it, or of
  /// many. It is allocated here, since its size depends on the numbers.
  func compress(_ w: Operand, rows: Int, columns: Int, forManyRows: Bool) -> CompressedTensor?
  /// y ← the elements of w from `first` on, of NF4 level · scale in float32, converted to the type of y.
  func unpack(_ w: PackedOperand, from first: Int, into y: Destination)
  /// c ← a·Wᵀ + β·c (`transposeWeight`) or a·W + β·c for a W [rows, columns] that is unpacked on the way, plus the low-rank
  /// part where there is one. a is [m, columns] and c [m, rows], or the other way round.
  func matmul(
    _ a: Operand, packed w: PackedOperand, transposeWeight: Bool, m: Int, rows: Int, columns: Int,
    beta: Double, plus lowRank: LowRankOperand?, into c: Destination)
  /// For each of some weights c ← a·Wᵀ, plus the low-rank part where there is one. a is [m, columns].
  func matmul(_ a: Operand, packed products: [PackedProduct], m: Int, columns: Int)
}

/// RMSNorm.
package protocol NormKernels {
  /// y[n, c] = x[n, c]·rstd[n]·w[c],  rstd[n] = 1 / √(mean_c x² + ε).  rstd has the accumulation type.
  func rmsNorm(
    _ x: Operand, weight: Operand, epsilon: Double, rows: Int, columns: Int, into y: Destination,
    rstd: Destination)
  /// dx ← gradient of x; dx may be dy. dWeight (accumulation type), where asked for, ← Σ_n dy ⊙ x·rstd.
  func rmsNormBackward(
    dy: Operand, x: Operand, weight: Operand, rstd: Operand, rows: Int, columns: Int,
    dx: Destination, dWeight: Destination?)
}

/// The angles by which heads are rotated: half-rotation of the first 2·R of D dims of every head by those of its token's
/// position.
package struct Rotation: Sendable {
  /// [P, R] in the accumulation type of what is rotated.
  package let cos, sin: Operand
  /// int32 [N], below P.
  package let positions: Operand
  /// N, H, D and R.
  package let rows, heads, headDim, half: Int

  package init(
    cos: Operand, sin: Operand, positions: Operand, rows: Int, heads: Int, headDim: Int, half: Int
  ) {
    (self.cos, self.sin, self.positions) = (cos, sin, positions)
    (self.rows, self.heads, self.headDim, self.half) = (rows, heads, headDim, half)
  }
}

/// RMSNorm of every head.
package struct HeadNorm: Sendable {
  /// [D].
  package let weight: Operand
  /// Added to the mean square.
  package let epsilon: Double
  /// [N, H] as that of `rmsNorm`.
  package let rstd: Destination

  package init(weight: Operand, epsilon: Double, rstd: Destination) {
    (self.weight, self.epsilon, self.rstd) = (weight, epsilon, rstd)
  }
}

/// Rotary position embedding, by itself and with the norm of heads before it.
package protocol RotaryKernels {
  /// y₁ = x₁·cos − s·x₂·sin, y₂ = x₂·cos + s·x₁·sin with x₁ = x[0..<R], x₂ = x[R..<2R]; the rest is copied.
  /// x [N, H, D]. s = −1 (`inverse`) undoes s = +1 and is its gradient. With a norm, which is for s = +1 alone, its result takes
  /// the place of x, rounded to the type of x.
  func rotate(
    _ x: Operand, _ rotation: Rotation, inverse: Bool, normalizedBy norm: HeadNorm?,
    into y: Destination)
  /// dx ← gradient of x of a rotation with a norm. dWeight (accumulation type), where asked for, ← that of the weight.
  func rotateNormalizedBackward(
    dy: Operand, x: Operand, weight: Operand, rstd: Operand, _ rotation: Rotation, dx: Destination,
    dWeight: Destination?)
}

/// Sizes of an attention call. Keys of a document are visible to queries of the same document at or after them.
package struct AttentionShape: Sendable {
  /// Query heads H, key/value heads K (H is a multiple of K), head dim D.
  package var heads, keyValueHeads, headDim: Int
  /// Number of query tokens N and of key tokens M.
  package var queryCount, keyCount: Int
  /// Index of the first query token among the keys: 0 in training, the cached length when decoding.
  package var keyOffset: Int
  /// Cumulative token offsets of the documents among the keys, [0, …, M]; each document sees only itself.
  package var documentOffsets: [Int]
  /// Factor of the scores, usually 1/√D.
  package var scale: Double

  package init(
    heads: Int, keyValueHeads: Int, headDim: Int, queryCount: Int, keyCount: Int, keyOffset: Int,
    documentOffsets: [Int], scale: Double
  ) {
    self.heads = heads
    self.keyValueHeads = keyValueHeads
    self.headDim = headDim
    self.queryCount = queryCount
    self.keyCount = keyCount
    self.keyOffset = keyOffset
    self.documentOffsets = documentOffsets
    self.scale = scale
  }
}

/// Causal attention with grouped heads.
package protocol AttentionKernels {
  /// out[i, h] = Σ_j softmax_j(scale·q[i, h]·k[j, h/(H/K)])·v[j, h/(H/K)] over the keys j that i sees.
  /// q, out [N, H, D]; k, v [M, K, D]; logSumExp [H, N] in the accumulation type.
  func attention(
    q: Operand, k: Operand, v: Operand, shape: AttentionShape, into out: Destination,
    logSumExp: Destination)
  /// Gradients of the same; recomputes the scores tile by tile. Needs keyOffset 0 and N = M.
  func attentionBackward(
    dOut: Operand, q: Operand, k: Operand, v: Operand, out: Operand, logSumExp: Operand,
    shape: AttentionShape, dq: Destination, dk: Destination, dv: Destination)
}

/// Rows of a table by their numbers.
package protocol EmbeddingKernels {
  /// y[n] ← table[ids[n]]. ids int32.
  func gatherRows(_ table: Operand, ids: Operand, rows: Int, columns: Int, into y: Destination)
  /// table[ids[n]] += x[n], in the order of n.
  func scatterAddRows(_ x: Operand, ids: Operand, rows: Int, columns: Int, into table: Destination)
}

/// Cross-entropy.
package protocol LossKernels {
  /// Softmax cross-entropy of logits [M, V] against targets [M] (int32).
  /// nll[m] ← −log softmax(logits[m])[targets[m]];  isCorrect[m] ← 1 where the target is the argmax, else 0 (uint8).
  /// With a gradient scale, one number of the accumulation type, logits ← (softmax − onehot)·gradientScale in place; else they
  /// are left alone. Where the target is ``ignoredTarget``, nll, isCorrect and the gradient are 0.
  func crossEntropy(
    logits: Destination, targets: Operand, rows: Int, columns: Int, gradientScale: Operand?,
    nll: Destination, isCorrect: Destination
  )
  /// Rows of logits of a vocabulary that exist at a time, in their type: enough for products at full speed, and no more memory than that takes.
  func lossRows(vocabulary: Int, _ dtype: DType) -> Int
}

/// The target of a row that counts for nothing (torch's `ignore_index`).
package let ignoredTarget: Int32 = -100

/// How random numbers are distributed.
package enum Distribution: Sendable {
  /// In [low, high), all alike.
  case uniform(low: Double, high: Double)
  /// Gaussian.
  case normal(mean: Double, standardDeviation: Double)
}

/// Random numbers and dropout.
package protocol RandomKernels {
  /// y ← numbers of a distribution.
  func random(_ y: Destination, _ distribution: Distribution, stream: RandomStream)
  /// y ← x·mask/(1 − p) with mask = 1 with probability 1 − p. The mask depends on the stream alone, so the
  /// same call on dy gives the gradient. y may be x.
  func dropout(_ x: Operand, probability: Double, stream: RandomStream, into y: Destination)
}

/// Coefficients of one AdamW step (Loshchilov & Hutter 2019; torch.optim.AdamW).
package struct AdamWStep: Sendable {
  /// The settings of AdamW, under their usual names.
  package var learningRate, beta1, beta2, epsilon, weightDecay: Double
  /// Step number t, from 1.
  package var step: Int

  package init(
    learningRate: Double, beta1: Double, beta2: Double, epsilon: Double, weightDecay: Double,
    step: Int
  ) {
    self.learningRate = learningRate
    self.beta1 = beta1
    self.beta2 = beta2
    self.epsilon = epsilon
    self.weightDecay = weightDecay
    self.step = step
  }
}

/// A running mean that is kept in 8 bits a number: map[codes[i]] · scales[i / 256] with a ``DynamicMap``.
package struct MomentDestination: Sendable {
  /// uint8, one an element.
  package let codes: Destination
  /// float32 [⌈count / 256⌉].
  package let scales: Destination

  package init(codes: Destination, scales: Destination) {
    self.codes = codes
    self.scales = scales
  }
}

/// What an AdamW step does to one parameter.
package struct AdamWUpdate: Sendable {
  /// The running means of the gradient and of its square.
  package enum Moments: Sendable {
    /// In the accumulation type of the parameter.
    case full(first: Destination, second: Destination)
    /// In 8 bits, the first on the signed map and the second on the unsigned one.
    case in8Bits(first: MomentDestination, second: MomentDestination)
  }

  package let parameter: Destination
  /// In the accumulation type of the parameter.
  package let gradient: Operand
  package let moments: Moments
  package let step: AdamWStep

  package init(parameter: Destination, gradient: Operand, moments: Moments, step: AdamWStep) {
    (self.parameter, self.gradient, self.moments, self.step) = (parameter, gradient, moments, step)
  }
}

/// The optimizer's step, and what clipping does. All take many tensors: an adapter has hundreds of small ones, and a kernel for
/// each would cost more than its work.
package protocol OptimizerKernels {
  /// For each: p ← p·(1 − lr·wd); m ← β₁m + (1−β₁)g; v ← β₂v + (1−β₂)g²;
  /// p ← p − lr/(1−β₁ᵗ) · m / (√v/√(1−β₂ᵗ) + ε), all in place but g.
  ///
  /// Moments in 8 bits are read, updated in float32, and each block of 256 put back with the largest of it as its scale
  /// (Dettmers et al. 2022; bitsandbytes' CPU code).
  func adamW(_ updates: [AdamWUpdate])
  /// y[i] ← Σ x² of the i-th. y is float64.
  func squaredNorms(_ xs: [Operand], into y: Destination)
  /// Every x ← α·x.
  func scaleAll(_ xs: [Destination], by alpha: Double)
}

/// Work that is queued once more without the program that queued it.
package protocol RecordingKernels {
  /// A recorder; nil where kernels run as they are called, and nothing would be gained.
  func makeRecorder() -> (any WorkRecorder)?
}

/// Keeps the kernels that a body queues, to queue them again.
///
/// A body may read and write memory that exists before, and memory that it takes itself. That of the second kind is the
/// recorder's: it is never given to anything else, and every replay of any recording writes over it. What a body leaves behind is
/// to be read before the next replay. A recorder is used on one thread, and nothing else uses its device meanwhile.
package protocol WorkRecorder: AnyObject {
  /// Records the kernels of `body`, which do not run: the first `replay` runs them. Nil where the body does what cannot be
  /// recorded (it waits, copies from or to the host, or draws random numbers other than for dropout); nothing has run then.
  func record(_ body: () -> Void) -> (any RecordedWork)?
  /// Why the last body could not be recorded; nil where it was.
  var problem: String? { get }
}

/// Kernels that can be queued again, on the same memory. The caller keeps alive what they read and write.
package protocol RecordedWork: AnyObject {
  /// Queues the kernels.
  ///
  /// - Parameters:
  ///   - documents: cumulative offsets of the documents of all attention, which sees as many tokens as when it was recorded.
  ///   - advance: how much further streams of random numbers are used than when they were recorded.
  /// - Returns: whether there was room for so many documents, and the memory was not given back for want of it; if not, nothing is
  ///   queued, and it has to be recorded again.
  func replay(documents: [Int], advance: UInt32) -> Bool
}

/// Which rows of a matrix can have the largest products with a vector, without the products themselves.
package protocol ScreeningKernels {
  /// Rows of x that screens answer at most.
  var screenedRowLimit: Int { get }
  /// A screen of a matrix W [rows, columns], which need not stay; nil where nothing would be gained by one, or not all of W is finite.
  func makeScreen(_ w: Operand, rows: Int, columns: Int) -> (any RowScreen)?
}

/// Finds the rows of a matrix W [V, C] whose products with a vector can be among the largest (maximum inner product search).
package protocol RowScreen: AnyObject {
  /// Whether there are candidates for so many rows and so many of the largest.
  func answers(rows m: Int, count: Int) -> Bool
  /// For each row of x [m, C], float32 or bfloat16, some rows of W in rising order. Among them are the `count` whose products with
  /// the row, as matrix products give them in the type of x, are the largest, and all whose products equal the least of those.
  ///
  /// Nil where that would be so many of W that the products themselves are computed as fast, or not all of x is finite. Traps for what it does
  /// not answer.
  func candidates(_ x: Operand, rows m: Int, count: Int) -> [[Int32]]?
}
