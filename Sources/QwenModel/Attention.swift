// Grouped-query self-attention of Qwen2 and Qwen3. They differ by two flags: biases on q, k and v, and norms on the
// heads of q and k.

package import Autograd
public import NN
package import Tensor

/// What attention needs to know about the tokens of a forward pass.
package struct AttentionContext {
  /// Rotary tables [≥ positions, D/2], and the position of every token, int32 [N].
  package let cos, sin, positions: Tensor
  /// Cumulative token offsets of the documents, [0, …, N].
  package let documents: [Int]
  /// Keys and values of the tokens before, one cache a document; none in training.
  package let caches: [KVCache]

  /// A context of its parts.
  package init(
    cos: Tensor, sin: Tensor, positions: Tensor, documents: [Int], caches: [KVCache] = []
  ) {
    (self.cos, self.sin, self.positions) = (cos, sin, positions)
    (self.documents, self.caches) = (documents, caches)
  }
}

/// Multi-head causal attention with grouped key/value heads (HF `Qwen2Attention`, `Qwen3Attention`).
public final class Attention: Module {
  /// The projections: q [H·D, C], k and v [K·D, C], o [C, H·D].
  public let qProj, kProj, vProj, oProj: Linear
  /// Norms of the heads, [D] (Qwen3).
  public let qNorm, kNorm: RMSNorm?
  private let projections, outputProjection: LinearGroup
  private let numAttentionHeads, numKeyValueHeads, headDim, layer: Int

  /// Declares the attention of layer `layer`.
  public init(_ config: QwenConfig, layer: Int) {
    numAttentionHeads = config.numAttentionHeads
    numKeyValueHeads = config.numKeyValueHeads
    headDim = config.headDim
    self.layer = layer
    let (queries, keys) = (numAttentionHeads * headDim, numKeyValueHeads * headDim)
    qProj = Linear(inputSize: config.hiddenSize, outputSize: queries, hasBias: config.qkvBias)
    kProj = Linear(inputSize: config.hiddenSize, outputSize: keys, hasBias: config.qkvBias)
    vProj = Linear(inputSize: config.hiddenSize, outputSize: keys, hasBias: config.qkvBias)
    oProj = Linear(inputSize: queries, outputSize: config.hiddenSize, hasBias: config.oBias)
    (projections, outputProjection) = (LinearGroup(qProj, kProj, vProj), LinearGroup(oProj))
    qNorm = config.qkNorm ? RMSNorm(size: headDim, epsilon: config.rmsNormEps) : nil
    kNorm = config.qkNorm ? RMSNorm(size: headDim, epsilon: config.rmsNormEps) : nil
  }

  public var children: KeyValuePairs<String, any ModuleNode> {
    guard let qNorm, let kNorm else {
      return ["q_proj": qProj, "k_proj": kProj, "v_proj": vProj, "o_proj": oProj]
    }
    return [
      "q_proj": qProj, "k_proj": kProj, "v_proj": vProj, "o_proj": oProj, "q_norm": qNorm,
      "k_norm": kNorm,
    ]
  }

  /// Attends within each document.  x [N, C] → [N, C]
  package func callAsFunction(_ x: Variable, _ context: AttentionContext, observe: Observer? = nil)
    -> Variable
  {  // [N, C]
    let n = x.shape[0]
    // 1. Project to heads.
    let projected = projections(x)
    var q = projected[0].reshaped([n, numAttentionHeads, headDim])  // [N, H, D]
    var k = projected[1].reshaped([n, numKeyValueHeads, headDim])  // [N, K, D]
    let v = projected[2].reshaped([n, numKeyValueHeads, headDim])  // [N, K, D]
    observe?("q_proj", q)
    observe?("k_proj", k)
    observe?("v_proj", v)
    // 2. Normalise each head (Qwen3 only), and rotate by position: in one pass where nobody looks in between.
    let rotation = Rotate(cos: context.cos, sin: context.sin, positions: context.positions)
    if let qNorm, let kNorm, observe == nil {
      (q, k) = (qNorm(q, rotatedBy: rotation), kNorm(k, rotatedBy: rotation))
    } else {
      if let qNorm, let kNorm {
        (q, k) = (qNorm(q), kNorm(k))
        observe?("q_norm", q)
        observe?("k_norm", k)
      }
      q = x.tape.record(rotation, [q])
      k = x.tape.record(rotation, [k])
    }
    observe?("q_rotated", q)
    observe?("k_rotated", k)
    // 3. Attend causally within each document; grouped heads are the kernel's business.
    let attended =  // [N, H, D]
      context.caches.isEmpty
      ? attention(q, k, v, scale: scale, documents: context.documents, keyOffset: 0)
      : x.tape.constant(continued(q.value, k.value, v.value, context))
    observe?("context", attended)
    // 4. Project back.
    return outputProjection(attended.reshaped([n, numAttentionHeads * headDim]))[0]  // [N, C]
  }

  /// Attends within each document to what its cache holds and to itself.  → [N, H, D]
  private func continued(_ q: Tensor, _ k: Tensor, _ v: Tensor, _ context: AttentionContext)
    -> Tensor
  {
    let documents = context.documents
    precondition(
      documents.count == context.caches.count + 1,
      "attention: \(documents.count - 1) documents, \(context.caches.count) caches")
    let parts = context.caches.enumerated().map { index, cache in
      let rows = documents[index]..<documents[index + 1]
      let all = cache.append(keys: k.rows(rows), values: v.rows(rows), layer: layer)
      return Tensor.attention(
        q: q.rows(rows), k: all.keys, v: all.values, scale: scale, documents: nil,
        keyOffset: cache.count
      ).out
    }
    return parts.count == 1 ? parts[0] : Tensor.concatenatedRows(parts)
  }

  /// The factor of the scores, 1 / √D.
  private var scale: Double { 1 / Double(headDim).squareRoot() }
}

/// Called with the name and the value of each intermediate result; for parity tests.
package typealias Observer = (String, Variable) -> Void
