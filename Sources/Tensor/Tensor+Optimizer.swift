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

  /// The same with moments of which both are in 8 bits or none is.
  package mutating func applyAdamW(
    gradient: Tensor, firstMoment: inout Moment, secondMoment: inout Moment, step: AdamWStep
  ) {
    guard var firstScales = firstMoment.scales.take(),
      var secondScales = secondMoment.scales.take()
    else {
      applyAdamW(
        gradient: gradient, firstMoment: &firstMoment.values, secondMoment: &secondMoment.values,
        step: step)
      return
    }
    let blocks = Moment.blockCount(count)
    precondition(
      gradient.count == count && firstMoment.values.count == count
        && secondMoment.values.count == count && firstScales.count == blocks
        && secondScales.count == blocks && firstMoment.values.dtype == .uint8
        && secondMoment.values.dtype == .uint8,
      "adamW: gradient \(gradient.shape) for parameter \(shape)")
    makeUnique()
    firstMoment.values.makeUnique()
    secondMoment.values.makeUnique()
    firstScales.makeUnique()
    secondScales.makeUnique()
    let (first, second) = (firstMoment.values, secondMoment.values)
    launch(self, gradient, first, second, firstScales, secondScales) {
      backend.adamW8Bit(
        parameter: destination, gradient: gradient.operand,
        firstMoment: MomentDestination(
          codes: first.destination, scales: firstScales.destination),
        secondMoment: MomentDestination(
          codes: second.destination, scales: secondScales.destination),
        step: step)
    }
    firstMoment.scales = firstScales
    secondMoment.scales = secondScales
  }
}
