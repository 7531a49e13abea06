// The table of operations, and what it covers. The cases themselves are in OpCases+….swift.

/// Every operation at sizes small enough for its naive oracle.
package enum OpCases {
  /// Kernels as tensors offer them.
  package static let kernels: [OpCase] =
    elementwise + memory + reductions + products + transformerKernels + training
    + optimizer8Bit + optimizerLists

  /// Operations of the tape.
  package static let differentiable: [OpCase] =
    tapeElementwise + tapeLinear + tapeDropout + tapeWeightDecomposed + tapeTransformer + tapeLoss
    + tapeCheckpoint
}

/// Operation names, as a tape reports them, that no gradient check of the table covers.
///
/// A model's tests pass `Tape.operationNames` and require an empty result.
package func uncoveredOperations(_ names: Set<String>) -> Set<String> {
  names.subtracting(OpCases.differentiable.flatMap(\.operations))
}
