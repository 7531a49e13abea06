// The gated activation of the MLP as one primitive.

package import Tensor

/// y = silu(gate) ⊙ up (Shazeer 2020).  gate, up [N, F] → y [N, F]. Keeps both inputs.
package struct SwiGLU: Primitive {
  package static let name = "swiglu"
  /// The operation; it has no parameters.
  package init() {}

  package func forward(_ x: [Tensor], needs: GradientMask) -> (
    output: Tensor, residuals: (gate: Tensor, up: Tensor)
  ) {
    (Tensor.swiGLU(gate: x[0], up: x[1]), (x[0], x[1]))
  }

  /// dGate = dy ⊙ up ⊙ σ(g)·(1 + g·(1 − σ(g))),  dUp = dy ⊙ silu(g)
  package func backward(
    _ dy: Tensor, _ kept: consuming (gate: Tensor, up: Tensor),
    into gradients: inout InputGradients
  ) {
    // As the only holders they become the gradients in place: these are the largest tensors of a block.
    var (gate, up) = kept
    Tensor.formSwiGLUGradients(dy: dy, gate: &gate, up: &up)
    gradients.accumulate(0, gate)
    gradients.accumulate(1, up)
  }
}

/// silu(gate) ⊙ up.
public func swiGLU(gate: Variable, up: Variable) -> Variable {
  gate.tape.record(SwiGLU(), [gate, up])
}
