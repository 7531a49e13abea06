// One block: attention and MLP, each behind a norm and added to the residual stream.

package import Autograd
public import NN

/// h = x + attention(norm₁(x));  y = h + mlp(norm₂(h)).  x [N, C] → [N, C]
public final class DecoderLayer: Module {
  /// Attention.
  public let selfAttn: Attention
  /// The feed-forward part.
  public let mlp: MLP
  /// The norms before attention and before the MLP, [C].
  public let inputLayernorm, postAttentionLayernorm: RMSNorm

  /// Declares layer `index`.
  public init(_ config: QwenConfig, index: Int) {
    selfAttn = Attention(config, layer: index)
    mlp = MLP(config)
    inputLayernorm = RMSNorm(size: config.hiddenSize, epsilon: config.rmsNormEps)
    postAttentionLayernorm = RMSNorm(size: config.hiddenSize, epsilon: config.rmsNormEps)
  }

  public var children: KeyValuePairs<String, any ModuleNode> {
    [
      "self_attn": selfAttn, "mlp": mlp, "input_layernorm": inputLayernorm,
      "post_attention_layernorm": postAttentionLayernorm,
    ]
  }

  /// The block.  x [N, C] → [N, C]
  package func callAsFunction(_ x: Variable, _ context: AttentionContext, observe: Observer? = nil)
    -> Variable
  {
    expanding(attending(x, context, observe: observe), observe: observe)
  }

  /// h = x + attention(norm₁(x)).  x [N, C] → [N, C]
  package func attending(_ x: Variable, _ context: AttentionContext, observe: Observer? = nil)
    -> Variable
  {
    let normalized = inputLayernorm(x)
    observe?("input_layernorm", normalized)
    let attended = selfAttn(normalized, context, observe: observe)
    observe?("attention", attended)
    let h = x + attended
    observe?("after_attention", h)
    return h
  }

  /// y = h + mlp(norm₂(h)).  h [N, C] → [N, C]
  package func expanding(_ h: Variable, observe: Observer? = nil) -> Variable {
    let normalizedAgain = postAttentionLayernorm(h)
    observe?("post_attention_layernorm", normalizedAgain)
    let expanded = mlp(normalizedAgain, observe: observe)
    observe?("mlp", expanded)
    let y = h + expanded
    observe?("output", y)
    return y
  }
}
