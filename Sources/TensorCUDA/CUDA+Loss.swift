// Softmax cross-entropy of a chunk of logits, with the gradient written over them.

package import Tensor

extension CUDABackend: LossKernels {
  package func crossEntropy(
    logits: Destination, targets: Operand, rows: Int, columns: Int, gradientScale: Double?,
    nll: Destination, isCorrect: Destination
  ) {
    requireFloat(logits.dtype, "crossEntropy")
    launch(
      Kernel("training", "cross_entropy", logits.dtype), grid: (x: rows, y: 1), logits.pointer,
      targets.pointer, Int32(columns), Int32(gradientScale == nil ? 0 : 1), gradientScale ?? 0,
      nll.pointer, isCorrect.pointer)
  }
}
