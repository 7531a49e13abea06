// AdamW over the trained parameters, and clipping by the global norm.

package import Autograd
package import Tensor

/// AdamW with bias correction (Loshchilov & Hutter 2019; torch.optim.AdamW). Moments are float32 or in 8 bits.
package final class AdamW {
  /// A parameter with its state.
  package final class Slot {
    /// The parameter's key in the checkpoint or the adapter.
    package let key: String
    /// What is trained.
    package let parameter: Parameter
    /// Whether weight decay applies.
    package let decays: Bool
    /// Whether LoRA+ gives it the higher learning rate: B, and everything with one axis.
    package let isFast: Bool
    /// Running means of the gradient and of its square.
    package var firstMoment, secondMoment: Moment

    init(key: String, parameter: Parameter, kind: OptimizerKind) {
      self.key = key
      self.parameter = parameter
      decays = AdamW.decays(key)
      isFast = key.hasSuffix("lora_B.weight") || parameter.shape.rank == 1
      // Two buffers: the moments are updated in place.
      let in8Bits = kind.keeps8Bits(key: key, count: parameter.shape.count)
      firstMoment = Moment(of: parameter.value, in8Bits: in8Bits)
      secondMoment = Moment(of: parameter.value, in8Bits: in8Bits)
    }
  }

  /// The parameters, in checkpoint order.
  package let slots: [Slot]
  /// Steps taken.
  package private(set) var stepCount: Int
  private let beta1, beta2, epsilon, weightDecay, loraPlusRatio: Double

  /// An optimizer with moments at 0.
  ///
  /// With LoRA+ (Hayou et al. 2024; PEFT `create_loraplus_optimizer`) B and every parameter with one axis learn at
  /// `loraPlusRatio` times the rate of A.
  package init(
    _ parameters: [(key: String, parameter: Parameter)], beta1: Double, beta2: Double,
    epsilon: Double, weightDecay: Double, loraPlusRatio: Double = 1, kind: OptimizerKind = .adamw
  ) {
    slots = parameters.map { Slot(key: $0.key, parameter: $0.parameter, kind: kind) }
    stepCount = 0
    self.beta1 = beta1
    self.beta2 = beta2
    self.epsilon = epsilon
    self.weightDecay = weightDecay
    self.loraPlusRatio = loraPlusRatio
  }

  /// transformers decays what is neither a bias nor a norm.
  private static func decays(_ key: String) -> Bool {
    !key.lowercased().contains("norm") && !key.hasSuffix("bias")
  }

  /// Continues after `stepCount` steps; the caller has put back the moments.
  package func restore(stepCount: Int) { self.stepCount = stepCount }

  /// √Σ‖g‖² over all gradients.
  package func gradientNorm() throws(DeviceError) -> Double {
    let gradients = slots.compactMap(\.parameter.gradient)
    guard !gradients.isEmpty else { return 0 }
    return try Tensor.squaredNorms(gradients).doubles().reduce(0, +).squareRoot()
  }

  /// Whether every trained number is finite.
  package func hasFiniteParameters() throws(DeviceError) -> Bool {
    guard !slots.isEmpty else { return true }
    return try Tensor.squaredNorms(slots.map(\.parameter.value)).doubles().allSatisfy(\.isFinite)
  }

  /// Scales all gradients by min(1, maximum / (norm + 1e-6)).
  package func clip(norm: Double, maximum: Double) {
    let factor = maximum / (norm + 1e-6)
    guard factor < 1 else { return }
    let slots = slots.filter { $0.parameter.gradient != nil }
    var gradients = slots.compactMap { $0.parameter.gradient.take() }
    Tensor.scale(&gradients, by: factor)
    for (slot, gradient) in zip(slots, gradients) { slot.parameter.gradient = gradient }
  }

  /// Updates every parameter that has a gradient; `learningRate` is that of A.
  package func step(learningRate: Double) {
    stepCount += 1
    var steps = AdamWSteps()
    for slot in slots {
      guard let gradient = slot.parameter.gradient else { continue }
      let step = AdamWStep(
        learningRate: slot.isFast ? learningRate * loraPlusRatio : learningRate, beta1: beta1,
        beta2: beta2, epsilon: epsilon,
        weightDecay: slot.decays ? weightDecay : 0, step: stepCount)
      slot.parameter.update { value in
        steps.add(
          &value, gradient: gradient, firstMoment: &slot.firstMoment,
          secondMoment: &slot.secondMoment, step: step)
      }
    }
    steps.run()
  }

  /// Forgets all gradients.
  package func clearGradients() {
    for slot in slots { slot.parameter.clearGradient() }
  }
}
