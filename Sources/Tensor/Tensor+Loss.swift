// The head and the loss in one operation: logits exist only a chunk of rows at a time.

/// What `linearCrossEntropy` found for the selected rows.
package struct CrossEntropyResult: Sendable {
  /// −log p of the target, [M], accumulation type.
  package let nll: Tensor
  /// 1 where the target was the most likely token, uint8 [M].
  package let isCorrect: Tensor
  /// Σ nll · scale differentiated by hidden, [M, C]; nil unless asked for.
  package let dHidden: Tensor?
  /// The same by the weight, [V, C].
  package let dWeight: Tensor?
}

extension Tensor {
  /// Cross-entropy of hidden·weightᵀ against targets, with gradients on the way.
  ///
  /// hidden [M, C] (trained positions only), weight [V, C] in the type of hidden or a narrower one, targets int32 [M] of which
  /// ``ignoredTarget`` counts for nothing, scale one number in the accumulation type of hidden. The gradients are of
  /// Σ nll · scale; computing them here saves forming the logits twice.
  package static func linearCrossEntropy(
    hidden: Tensor, weight: Tensor, targets: Tensor, scale: Tensor, needsHidden: Bool,
    needsWeight: Bool
  ) -> CrossEntropyResult {
    let (rows, vocabulary) = (hidden.rowCount, weight.shape[0])
    precondition(
      targets.dtype == .int32 && targets.count == rows && hidden.columnCount == weight.shape[1],
      "linearCrossEntropy: hidden \(hidden.shape), weight \(weight.shape), targets \(targets.shape)"
    )
    let backend = commonBackend(hidden, weight, "linearCrossEntropy")
    let accumulation = hidden.dtype.accumulation
    precondition(
      scale.count == 1 && scale.dtype == accumulation,
      "linearCrossEntropy: the scale is \(scale.shape) \(scale.dtype.rawValue)")
    let nll = Tensor(uninitialized: [rows], accumulation, backend: backend)
    let isCorrect = Tensor(uninitialized: [rows], .uint8, backend: backend)
    let dHidden =
      needsHidden ? Tensor(uninitialized: hidden.shape, hidden.dtype, backend: backend) : nil
    var dWeight = needsWeight ? weight.zerosLike(dtype: accumulation) : nil
    let chunk = backend.lossRows(vocabulary: vocabulary, hidden.dtype)
    for start in stride(from: 0, to: rows, by: chunk) {
      let range = start..<min(start + chunk, rows)
      let h = hidden.rows(range)
      let logits = Tensor.matmul(h, weight: weight, transposeWeight: true)  // [m, V]
      let t = targets.rows(range)
      launch(logits, t, scale, nll, isCorrect) {
        backend.crossEntropy(
          logits: logits.destination, targets: t.operand, rows: range.count, columns: vocabulary,
          gradientScale: needsHidden || needsWeight ? scale.operand : nil,
          nll: nll.destination.slice(start, range.count),
          isCorrect: isCorrect.destination.slice(start, range.count))
      }
      if let dHidden {
        let part = dHidden.destination.slice(
          start * hidden.columnCount, range.count * hidden.columnCount)
        launch(logits, weight, dHidden) {
          if weight.dtype == hidden.dtype {
            backend.matmul(
              logits.operand, transposeA: false, weight.operand, transposeB: false, m: range.count,
              n: hidden.columnCount, k: vocabulary, alpha: 1, beta: 0, into: part)
          } else {
            backend.matmul(
              logits.operand, packed: .narrow(weight.operand), transposeWeight: false,
              m: range.count, rows: vocabulary, columns: hidden.columnCount, beta: 0, plus: nil,
              into: part)
          }
        }
      }
      dWeight?.accumulateMatmul(logits, transposeA: true, h)
    }
    return CrossEntropyResult(nll: nll, isCorrect: isCorrect, dHidden: dHidden, dWeight: dWeight)
  }
}
