// In-place optimizer updates.

/// AdamW steps of several parameters, which run together.
///
/// What was added changes with `run`, and so does a copy that was taken of it in between.
package struct AdamWSteps {
  private var updates: [AdamWUpdate] = []
  /// Everything that the updates point to.
  private var held: [Tensor] = []
  /// Where the parameters that will change are.
  private var addresses: Set<UInt> = []

  /// No step.
  package init() {}

  /// Adds a step on `parameter`, whose value changes with `run`. All have its shape; the moments are both in 8 bits, or
  /// both in its accumulation type.
  package mutating func add(
    _ parameter: inout Tensor, gradient: Tensor, firstMoment: inout Moment,
    secondMoment: inout Moment, step: AdamWStep
  ) {
    let count = parameter.count
    precondition(
      gradient.count == count && firstMoment.values.count == count
        && secondMoment.values.count == count,
      "adamW: gradient \(gradient.shape) for parameter \(parameter.shape)")
    let operands = [parameter, gradient, firstMoment.values, secondMoment.values]
    precondition(
      operands.allSatisfy { $0.backend === (held.first ?? parameter).backend },
      "adamW: several devices")
    // A second step would be taken on a copy, and the first one be lost.
    precondition(
      count == 0 || !addresses.contains(parameter.operand.address),
      "adamW: two steps of one parameter \(parameter.shape)")
    parameter.makeUnique()
    addresses.insert(parameter.operand.address)
    firstMoment.makeUnique()
    secondMoment.makeUnique()
    let moments: AdamWUpdate.Moments
    switch (firstMoment.scales, secondMoment.scales) {
    case (nil, nil):
      let dtype = parameter.dtype.accumulation
      precondition(
        firstMoment.values.dtype == dtype && secondMoment.values.dtype == dtype,
        "adamW: moments in \(firstMoment.values.dtype.rawValue) for \(parameter.dtype.rawValue)")
      moments = .full(
        first: firstMoment.values.destination, second: secondMoment.values.destination)
    case (let firstScales?, let secondScales?):
      let blocks = Moment.blockCount(count)
      precondition(
        firstScales.count == blocks && secondScales.count == blocks
          && firstMoment.values.dtype == .uint8 && secondMoment.values.dtype == .uint8,
        "adamW: \(firstScales.count) scales for parameter \(parameter.shape)")
      moments = .in8Bits(
        first: MomentDestination(
          codes: firstMoment.values.destination, scales: firstScales.destination),
        second: MomentDestination(
          codes: secondMoment.values.destination, scales: secondScales.destination))
      held += [firstScales, secondScales]
    default: preconditionFailure("adamW: one moment in 8 bits for parameter \(parameter.shape)")
    }
    held += [parameter, gradient, firstMoment.values, secondMoment.values]
    updates.append(
      AdamWUpdate(
        parameter: parameter.destination, gradient: gradient.operand, moments: moments, step: step))
  }

  /// Takes the steps.
  package consuming func run() {
    guard let backend = held.first?.backend else { return }
    launch(held) { backend.adamW(updates) }
  }
}

extension Moment {
  /// Makes what the moment holds its own, as before a change in place.
  fileprivate mutating func makeUnique() {
    values.makeUnique()
    scales?.makeUnique()
  }
}

extension Tensor {
  /// One AdamW step on self; the moments are updated in place. All have the shape of self, and moments of which none is
  /// in 8 bits its accumulation type.
  package mutating func applyAdamW(
    gradient: Tensor, firstMoment: inout Moment, secondMoment: inout Moment, step: AdamWStep
  ) {
    var steps = AdamWSteps()
    steps.add(
      &self, gradient: gradient, firstMoment: &firstMoment, secondMoment: &secondMoment, step: step)
    steps.run()
  }

  /// Σ x² of each, in float64.  → [count]. All are on one device; there is at least one.
  package static func squaredNorms(_ tensors: [Tensor]) -> Tensor {
    precondition(!tensors.isEmpty, "squaredNorms: no tensors")
    let backend = tensors[0].backend
    precondition(tensors.allSatisfy { $0.backend === backend }, "squaredNorms: several devices")
    let y = Tensor(uninitialized: [tensors.count], .float64, backend: backend)
    launch(tensors, y) { backend.squaredNorms(tensors.map(\.operand), into: y.destination) }
    return y
  }

  /// Every tensor ← α·it, in place where nobody else holds the storage. All are on one device.
  package static func scale(_ tensors: inout [Tensor], by alpha: Double) {
    guard let backend = tensors.first?.backend else { return }
    precondition(tensors.allSatisfy { $0.backend === backend }, "scale: several devices")
    for index in tensors.indices { tensors[index].makeUnique() }
    launch(tensors) { backend.scaleAll(tensors.map(\.destination), by: alpha) }
  }
}
