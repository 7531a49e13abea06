// The names of tensors: Hugging Face's and GGUF's.

import QwenModel

/// The two names of every tensor of a model.
enum GGUFNames {
  private static let outside = [
    ("model.embed_tokens.weight", "token_embd.weight"), ("model.norm.weight", "output_norm.weight"),
    ("lm_head.weight", "output.weight"),
  ]
  private static let inBlock = [
    ("input_layernorm", "attn_norm"), ("self_attn.q_proj", "attn_q"),
    ("self_attn.k_proj", "attn_k"), ("self_attn.v_proj", "attn_v"),
    ("self_attn.o_proj", "attn_output"), ("self_attn.q_norm", "attn_q_norm"),
    ("self_attn.k_norm", "attn_k_norm"), ("post_attention_layernorm", "ffn_norm"),
    ("mlp.gate_proj", "ffn_gate"), ("mlp.up_proj", "ffn_up"), ("mlp.down_proj", "ffn_down"),
  ]

  /// GGUF's name of the tensor that checkpoints call `key`; nil where it has none.
  static func name(of key: String) -> String? {
    if let pair = outside.first(where: { $0.0 == key }) { return pair.1 }
    let parts = key.split(separator: ".", maxSplits: 3)
    guard parts.count == 4, parts[0] == "model", parts[1] == "layers",
      let dot = parts[3].lastIndex(of: ".")
    else { return nil }
    let (module, kind) = (parts[3][..<dot], parts[3][dot...])
    return inBlock.first { $0.0 == module }.map { "blk.\(parts[2]).\($0.1)\(kind)" }
  }
}
