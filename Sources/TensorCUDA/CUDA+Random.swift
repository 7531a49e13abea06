// Random fills and dropout from the same Philox blocks as on the CPU.

package import Tensor

/// A sequence of random numbers as kernels take it.
private struct StreamArgument: BitwiseCopyable {
  let seed: UInt64
  let stream, offset: UInt32

  init(_ stream: RandomStream) {
    seed = stream.seed
    self.stream = stream.stream
    offset = stream.offset
  }
}

extension CUDABackend: RandomKernels {
  package func random(_ y: Destination, _ distribution: Distribution, stream: RandomStream) {
    requireFloat(y.dtype, "random")
    // Their streams are arguments, which a replay would not advance.
    recording?.invalidate("random numbers")
    switch distribution {
    case .uniform(let low, let high):
      launch(
        Kernel("training", "uniform", y.dtype), grid: blocks(y.count, perThread: 4), y.pointer,
        Int64(y.count), low, high, StreamArgument(stream))
    case .normal(let mean, let standardDeviation):
      launch(
        Kernel("training", "normal", y.dtype), grid: blocks(y.count, perThread: 4), y.pointer,
        Int64(y.count), mean, standardDeviation, StreamArgument(stream))
    }
  }

  package func dropout(
    _ x: Operand, probability: Double, stream: RandomStream, into y: Destination
  ) {
    precondition(probability >= 0 && probability < 1, "dropout: probability \(probability)")
    requireFloat(x.dtype, "dropout")
    launch(
      Kernel("training", "dropout", x.dtype), grid: blocks(x.count, perThread: 8), x.pointer,
      y.pointer, Int64(x.count), UInt32((probability * 65_536).rounded()), 1 / (1 - probability),
      StreamArgument(stream), recording?.advance ?? 0)
  }
}
