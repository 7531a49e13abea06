// Gradients of every differentiable operation against finite differences, and proof that the check can fail.

import Autograd
import Tensor
import TensorTestSupport
import Testing

@Suite("Gradients")
struct GradientTests {
  @Test("gradients match finite differences", arguments: OpCases.differentiable)
  func gradients(_ op: OpCase) throws { try GradCheck().verify(op) }

  @Test(
    "gradients on every other device match finite differences along random directions",
    arguments: OpCases.differentiable)
  func gradientsElsewhere(_ op: OpCase) throws {
    for device in TestDevices.all.dropFirst() {
      try GradCheck(elementLimit: 0).verify(op, on: device)
    }
  }

  @Test("differentiable operations agree with their oracles", arguments: OpCases.differentiable)
  func values(_ op: OpCase) throws {
    for device in TestDevices.all {
      for dtype in op.dtypes { try op.verify(dtype, on: device) }
    }
  }

  @Test("every primitive is in the gradient table")
  func coverage() {
    let primitives: Set<String> = [
      Add.name, Multiply.name, Scale.name, Reshape.name, LinearMap.name, LoRALinearMap.name,
      RMSNormalize.name, Rotate.name, SwiGLU.name, Attend.name, EmbeddingLookup.name,
      LinearCrossEntropy.name, Dropout.name, MagnitudeScaling.name, PackedLinearMap.name,
      "checkpoint",
    ]
    #expect(uncoveredOperations(primitives) == [])
    #expect(uncoveredOperations(["linear", "silu"]) == ["silu"])
  }

  @Test("a wrong backward rule fails the gradient check")
  func wrongRule() {
    for factor in [1.001, 0, -1] {
      let op = OpCase("wrong scale", [.normal([3, 5])], operations: ["wrong_scale"]) { tape, x in
        tape.record(WrongScale(factor: factor), x)
      } oracle: {
        [$0[0].map { 2 * $0 }]
      }
      #expect(throws: OpCaseFailure.self) { try GradCheck().verify(op) }
    }
    let right = OpCase("right scale", [.normal([3, 5])], operations: ["wrong_scale"]) { tape, x in
      tape.record(WrongScale(factor: 2), x)
    } oracle: {
      [$0[0].map { 2 * $0 }]
    }
    #expect(throws: Never.self) { try GradCheck().verify(right) }
  }

  @Test("a wrong backward rule of a large input fails along random directions")
  func wrongRuleOfLargeInput() {
    let op = OpCase("wrong scale", [.normal([300])], operations: ["wrong_scale"]) { tape, x in
      tape.record(WrongScale(factor: 2.001), x)
    } oracle: {
      [$0[0].map { 2 * $0 }]
    }
    #expect(throws: OpCaseFailure.self) { try GradCheck().verify(op) }
  }

  @Test("a gradient that never arrives fails the gradient check")
  func missingGradient() {
    let op = OpCase("forgotten", [.normal([3])], operations: ["forgotten"]) { tape, x in
      tape.record(Forgotten(), x)
    } oracle: {
      $0
    }
    #expect(throws: OpCaseFailure.self) { try GradCheck().verify(op) }
  }

  @Test("a case that declares other operations than it records fails")
  func undeclaredOperation() {
    let op = OpCase("undeclared", [.normal([3])], operations: ["add"]) { _, x in
      x[0].scaled(by: 2)
    } oracle: {
      [$0[0].map { 2 * $0 }]
    }
    #expect(throws: OpCaseFailure.self) { try GradCheck().verify(op) }
  }
}

/// y = 2·x with a backward rule that multiplies by `factor`.
private struct WrongScale: Primitive {
  static let name = "wrong_scale"
  let factor: Double

  func forward(_ x: [Tensor], needs: GradientMask) -> (output: Tensor, residuals: Void) {
    (x[0].scaled(by: 2), ())
  }

  func backward(_ dy: Tensor, _ residuals: Void, into gradients: inout InputGradients) {
    gradients.accumulate(0, dy.scaled(by: factor))
  }
}

/// y = x with a backward rule that does nothing.
private struct Forgotten: Primitive {
  static let name = "forgotten"

  func forward(_ x: [Tensor], needs: GradientMask) -> (output: Tensor, residuals: Void) {
    (x[0].copied(), ())
  }

  func backward(_ dy: Tensor, _ residuals: Void, into gradients: inout InputGradients) {}
}
