// Oracles of normalisation, rotary embedding and attention with its gradients.

import Glibc

import Tensor

extension ReferenceOps {
  /// y = x·rstd·w and rstd = 1 / √(mean x² + ε).
  package static func rmsNorm(_ x: HostArray, _ weight: HostArray, epsilon: Double) -> (
    y: HostArray, rstd: HostArray
  ) {
    let columns = x.columnCount
    var (y, rstd) = (x, HostArray([x.rowCount], repeating: 0))
    for n in 0..<x.rowCount {
      let meanSquare = (0..<columns).reduce(0) { $0 + x[n, $1] * x[n, $1] } / Double(columns)
      rstd[n] = 1 / (meanSquare + epsilon).squareRoot()
      for c in 0..<columns { y[n, c] = x[n, c] * rstd[n] * weight[c] }
    }
    return (y, rstd)
  }

  /// Gradients of `rmsNorm`, by the full Jacobian ∂y_c/∂x_j = w_c·(δ_cj·rstd − x_c·x_j·rstd³/C).
  package static func rmsNormBackward(
    dy: HostArray, x: HostArray, weight: HostArray, rstd: HostArray
  ) -> (dx: HostArray, dWeight: HostArray) {
    let columns = x.columnCount
    var (dx, dWeight) = (HostArray(x.shape, repeating: 0), HostArray(weight.shape, repeating: 0))
    for n in 0..<x.rowCount {
      let r = rstd[n]
      for c in 0..<columns {
        dWeight[c] += dy[n, c] * x[n, c] * r
        for j in 0..<columns {
          let jacobian = (c == j ? r : 0) - x[n, c] * x[n, j] * r * r * r / Double(columns)
          dx[n, j] += dy[n, c] * weight[c] * jacobian
        }
      }
    }
    return (dx, dWeight)
  }

  /// Rotation of the pairs (x[i], x[R + i]), i < R, of every head; the dims from 2R on stay.  x [N, H, D], cos [P, R]
  package static func rotated(
    _ x: HostArray, cos: HostArray, sin: HostArray, positions: [Int], inverse: Bool = false
  ) -> HostArray {
    let (heads, dim, half) = (x.shape[1], x.shape[2], cos.columnCount)
    var y = x
    for (n, position) in positions.enumerated() {
      for h in 0..<heads {
        let base = (n * heads + h) * dim
        for i in 0..<half {
          let (c, s) = (cos[position, i], inverse ? -sin[position, i] : sin[position, i])
          y[base + i] = x[base + i] * c - x[base + half + i] * s
          y[base + half + i] = x[base + half + i] * c + x[base + i] * s
        }
      }
    }
    return y
  }

  /// Sizes of an attention call and who sees whom.
  package struct Attention {
    package var scale: Double
    package var documents: [Int]?
    package var keyOffset = 0

    package init(scale: Double, documents: [Int]? = nil, keyOffset: Int = 0) {
      self.scale = scale
      self.documents = documents
      self.keyOffset = keyOffset
    }

    /// Whether query `i` sees key `j` of `count`: the same document, and not later.
    func sees(_ i: Int, _ j: Int, count: Int) -> Bool {
      let place = i + keyOffset
      guard j <= place else { return false }
      let offsets = documents ?? [0, count]
      return offsets.filter { $0 <= j } == offsets.filter { $0 <= place }
    }
  }

  /// Softmax weights of query `i`, head `h` over all keys (0 where unseen), and log Σ exp of the scores.
  private static func weights(
    _ q: HostArray, _ k: HostArray, _ attention: Attention, query i: Int, head h: Int
  ) -> (p: [Double], logSumExp: Double) {
    let (heads, kvHeads, dim, keys) = (q.shape[1], k.shape[1], q.shape[2], k.shape[0])
    let kv = h / (heads / kvHeads)
    var scores = [Double](repeating: -.infinity, count: keys)
    for j in 0..<keys where attention.sees(i, j, count: keys) {
      var score = 0.0
      for d in 0..<dim { score += q[(i * heads + h) * dim + d] * k[(j * kvHeads + kv) * dim + d] }
      scores[j] = score * attention.scale
    }
    let largest = scores.max() ?? 0
    let total = scores.reduce(0) { $0 + exp($1 - largest) }
    return (scores.map { exp($0 - largest) / total }, largest + log(total))
  }

  /// q [N, H, D], k and v [M, K, D] → out [N, H, D], logSumExp [H, N].
  package static func attention(
    _ q: HostArray, _ k: HostArray, _ v: HostArray, _ attention: Attention
  ) -> (out: HostArray, logSumExp: HostArray) {
    let (heads, kvHeads, dim) = (q.shape[1], k.shape[1], q.shape[2])
    var out = HostArray(q.shape, repeating: 0)
    var logSumExp = HostArray([heads, q.shape[0]], repeating: 0)
    for i in 0..<q.shape[0] {
      for h in 0..<heads {
        let (p, lse) = weights(q, k, attention, query: i, head: h)
        logSumExp[h, i] = lse
        for j in 0..<k.shape[0] {
          for d in 0..<dim {
            out[(i * heads + h) * dim + d] +=
              p[j] * v[(j * kvHeads + h / (heads / kvHeads)) * dim + d]
          }
        }
      }
    }
    return (out, logSumExp)
  }

  /// Gradients of `attention`, through the softmax Jacobian dS = P ⊙ (dP − ⟨P, dP⟩).
  package static func attentionBackward(
    dOut: HostArray, _ q: HostArray, _ k: HostArray, _ v: HostArray, _ attention: Attention
  ) -> (dq: HostArray, dk: HostArray, dv: HostArray) {
    let (heads, kvHeads, dim, keys) = (q.shape[1], k.shape[1], q.shape[2], k.shape[0])
    var dq = HostArray(q.shape, repeating: 0)
    var (dk, dv) = (HostArray(k.shape, repeating: 0), HostArray(v.shape, repeating: 0))
    for i in 0..<q.shape[0] {
      for h in 0..<heads {
        let kv = h / (heads / kvHeads)
        let p = weights(q, k, attention, query: i, head: h).p
        let row = (i * heads + h) * dim
        var dp = [Double](repeating: 0, count: keys)
        for j in 0..<keys {
          for d in 0..<dim {
            dp[j] += dOut[row + d] * v[(j * kvHeads + kv) * dim + d]
            dv[(j * kvHeads + kv) * dim + d] += p[j] * dOut[row + d]
          }
        }
        let mean = zip(p, dp).reduce(0) { $0 + $1.0 * $1.1 }
        for j in 0..<keys {
          let ds = p[j] * (dp[j] - mean) * attention.scale
          for d in 0..<dim {
            dq[row + d] += ds * k[(j * kvHeads + kv) * dim + d]
            dk[(j * kvHeads + kv) * dim + d] += ds * q[row + d]
          }
        }
      }
    }
    return (dq, dk, dv)
  }
}
