// Table look-up as a primitive.

package import Tensor

/// y[n] = table[ids[n]], converted to `dtype`.  table [V, C], ids int32 [N] → y [N, C]. Keeps the ids.
package struct EmbeddingLookup: Primitive {
  package static let name = "embedding"
  let ids: Tensor
  let dtype: DType?
  /// The rows `ids` of a table, as numbers of type `dtype` (the table's where nil).
  package init(ids: Tensor, dtype: DType? = nil) {
    self.ids = ids
    self.dtype = dtype
  }

  package func forward(_ x: [Tensor], needs: GradientMask) -> (output: Tensor, residuals: Shape) {
    (x[0].gatheredRows(ids).cast(to: dtype ?? x[0].dtype), x[0].shape)
  }

  /// dTable[ids[n]] += dy[n], summed in the accumulation type: a token may come up thousands of times.
  package func backward(_ dy: Tensor, _ shape: Shape, into gradients: inout InputGradients) {
    gradients.accumulateScattered(
      0, dy: dy.cast(to: dy.dtype.accumulation), ids: ids, shape: shape)
  }
}
