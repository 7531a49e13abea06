// AdamW over the trained parameters, and clipping by the global norm.

import Autograd
package import NN
package import Tensor

/// AdamW with bias correction (Loshchilov & Hutter 2019; torch.optim.AdamW). Moments are float32.
package final class AdamW {
  /// A parameter with its state.
  package struct Slot {
    package let key: String
    package let parameter: Parameter
    package let decays: Bool
    package var firstMoment, secondMoment: Tensor
  }

  package private(set) var slots: [Slot]
  /// Steps taken.
  package private(set) var stepCount: Int
  private let beta1, beta2, epsilon, weightDecay: Double

  /// An optimizer with moments at 0.
  package init(
    _ parameters: [(key: String, parameter: Parameter)], beta1: Double, beta2: Double,
    epsilon: Double, weightDecay: Double
  ) {
    slots = parameters.map { key, parameter in
      let zeros = parameter.value.zerosLike(dtype: parameter.value.dtype.accumulation)
      return Slot(
        key: key, parameter: parameter, decays: AdamW.decays(key), firstMoment: zeros,
        secondMoment: zeros)
    }
    stepCount = 0
    self.beta1 = beta1
    self.beta2 = beta2
    self.epsilon = epsilon
    self.weightDecay = weightDecay
  }

  /// transformers decays what is neither a bias nor a norm.
  private static func decays(_ key: String) -> Bool {
    !key.lowercased().contains("norm") && !key.hasSuffix("bias")
  }

  /// Continues from saved moments.
  package func restore(stepCount: Int, moments: (String) -> (first: Tensor, second: Tensor)?) -> Bool {
    for index in slots.indices {
      guard let (first, second) = moments(slots[index].key),
        first.shape == slots[index].parameter.shape, second.shape == slots[index].parameter.shape
      else { return false }
      slots[index].firstMoment = first
      slots[index].secondMoment = second
    }
    self.stepCount = stepCount
    return true
  }

  /// √Σ‖g‖² over all gradients.
  package func gradientNorm() throws(DeviceError) -> Double {
    var total = 0.0
    for slot in slots {
      if let gradient = slot.parameter.gradient { total += try gradient.squaredNorm().item() }
    }
    return total.squareRoot()
  }

  /// Scales all gradients by min(1, maximum / (norm + 1e-6)).
  package func clip(norm: Double, maximum: Double) {
    let factor = maximum / (norm + 1e-6)
    guard factor < 1 else { return }
    for slot in slots { slot.parameter.gradient?.scale(by: factor) }
  }

  /// Updates every parameter that has a gradient.
  package func step(learningRate: Double) {
    stepCount += 1
    for index in slots.indices {
      guard let gradient = slots[index].parameter.gradient else { continue }
      let step = AdamWStep(
        learningRate: learningRate, beta1: beta1, beta2: beta2, epsilon: epsilon,
        weightDecay: slots[index].decays ? weightDecay : 0, step: stepCount)
      slots[index].parameter.update { value in
        value.applyAdamW(
          gradient: gradient, firstMoment: &slots[index].firstMoment,
          secondMoment: &slots[index].secondMoment, step: step)
      }
    }
  }

  /// Forgets all gradients.
  package func clearGradients() {
    for slot in slots { slot.parameter.clearGradient() }
  }
}
