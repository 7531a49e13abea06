// Softmax cross-entropy of a chunk of logits, with the gradient written over them.

package import Tensor

extension CUDABackend: LossKernels {
  package func crossEntropy(
    logits: Destination, targets: Operand, rows: Int, columns: Int, gradientScale: Operand?,
    nll: Destination, isCorrect: Destination
  ) {
    requireFloat(logits.dtype, "crossEntropy")
    launch(
      Kernel("training", "cross_entropy", logits.dtype), grid: (x: rows, y: 1),
      block: (x: threads(columns, logits.dtype, most: 1024), y: 1), logits.pointer, targets.pointer,
      Int32(columns), gradientScale?.pointer ?? 0, nll.pointer, isCorrect.pointer)
  }

  /// Whole tiles of products, and enough of them for every processor of a large GPU: of Qwen's vocabulary 2,048 rows in bfloat16 and 1,024 in float32, 622 MB.
  package func lossRows(vocabulary: Int, _ dtype: DType) -> Int {
    max(128, min(2048, (640 << 20) / (max(vocabulary, 1) * dtype.byteWidth) / 128 * 128))
  }
}
