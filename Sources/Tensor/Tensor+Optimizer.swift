// In-place optimizer updates.

extension Tensor {
  /// One AdamW step on self; the moments are updated in place. All have the shape of self, the moments its
  /// accumulation type.
  package mutating func applyAdamW(
    gradient: Tensor, firstMoment: inout Tensor, secondMoment: inout Tensor, step: AdamWStep
  ) {
    precondition(
      gradient.count == count && firstMoment.count == count && secondMoment.count == count
        && firstMoment.dtype == dtype.accumulation && secondMoment.dtype == dtype.accumulation,
      "adamW: gradient \(gradient.shape) for parameter \(shape)")
    makeUnique()
    firstMoment.makeUnique()
    secondMoment.makeUnique()
    launch(self, gradient, firstMoment, secondMoment) {
      backend.adamW(
        parameter: destination, gradient: gradient.operand, firstMoment: firstMoment.destination,
        secondMoment: secondMoment.destination, step: step)
    }
  }
}
