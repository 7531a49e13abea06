// The gated feed-forward part.

package import Autograd
public import NN

/// down(silu(gate·x) ⊙ up·x)  (HF `Qwen2MLP`, `Qwen3MLP`).  x [N, C] → [N, C]
public final class MLP: Module {
  /// The projections: gate and up [F, C], down [C, F].
  public let gateProj, upProj, downProj: Linear
  private let expansion, contraction: LinearGroup

  /// Declares the MLP of a layer.
  public init(_ config: QwenConfig) {
    let (hidden, intermediate) = (config.hiddenSize, config.intermediateSize)
    gateProj = Linear(inputSize: hidden, outputSize: intermediate, hasBias: false)
    upProj = Linear(inputSize: hidden, outputSize: intermediate, hasBias: false)
    downProj = Linear(inputSize: intermediate, outputSize: hidden, hasBias: false)
    (expansion, contraction) = (LinearGroup(gateProj, upProj), LinearGroup(downProj))
  }

  public var children: KeyValuePairs<String, any ModuleNode> {
    ["gate_proj": gateProj, "up_proj": upProj, "down_proj": downProj]
  }

  /// The MLP.  x [N, C] → [N, C]
  package func callAsFunction(_ x: Variable, observe: Observer? = nil) -> Variable {
    let projected = expansion(x)
    let (gate, up) = (projected[0], projected[1])  // [N, F]
    observe?("gate_proj", gate)
    observe?("up_proj", up)
    return contraction(swiGLU(gate: gate, up: up))[0]  // [N, C]
  }
}
