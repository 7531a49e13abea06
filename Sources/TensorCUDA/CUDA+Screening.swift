// Screening: a GPU reads a whole head in the time of a few launches, so there is none.

package import Tensor

extension CUDABackend: ScreeningKernels {
  package var screenedRowLimit: Int { 0 }
  package func makeScreen(_ w: Operand, rows: Int, columns: Int) -> (any RowScreen)? { nil }
}
