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

  /// Whole tiles of products, and enough of them for every processor of a large GPU: 622 MB of bfloat16 for Qwen's vocabulary.
  package func lossRows(vocabulary: Int) -> Int { 2048 }
}
