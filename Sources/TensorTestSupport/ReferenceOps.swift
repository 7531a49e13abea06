// The operations by their definitions, in Double and with plain loops: the oracles. Nothing here is fast, shares code
// with a backend, or is used outside tests.

import Glibc

package import Tensor

/// Naive implementations of every kernel.
package enum ReferenceOps {
  // MARK: Elementwise

  package static func unary(_ op: UnaryOp, _ x: HostArray) -> HostArray {
    x.map {
      switch op {
      case .negate: -$0
      case .exponential: exp($0)
      case .sigmoid: sigmoid($0)
      case .silu: $0 * sigmoid($0)
      case .square: $0 * $0
      case .squareRoot: $0.squareRoot()
      }
    }
  }

  package static func binary(_ op: BinaryOp, _ a: HostArray, _ b: HostArray) -> HostArray {
    a.zip(b) {
      switch op {
      case .add: $0 + $1
      case .subtract: $0 - $1
      case .multiply: $0 * $1
      case .divide: $0 / $1
      }
    }
  }

  package static func sigmoid(_ x: Double) -> Double { 1 / (1 + exp(-x)) }

  /// x[n, c] + row[c].
  package static func addingRow(_ x: HostArray, _ row: HostArray) -> HostArray {
    var y = x
    for n in 0..<x.rowCount {
      for c in 0..<x.columnCount { y[n, c] += row[c] }
    }
    return y
  }

  /// x[n, c]·row[c].
  package static func multiplyingRow(_ x: HostArray, _ row: HostArray) -> HostArray {
    var y = x
    for n in 0..<x.rowCount {
      for c in 0..<x.columnCount { y[n, c] *= row[c] }
    }
    return y
  }

  /// Σ_c a[n, c]·b[n, c].
  package static func dotRows(_ a: HostArray, _ b: HostArray) -> HostArray {
    var y = HostArray([a.rowCount], repeating: 0)
    for n in 0..<a.rowCount {
      for c in 0..<a.columnCount { y[n] += a[n, c] * b[n, c] }
    }
    return y
  }

  /// silu(gate) ⊙ up.
  package static func swiGLU(gate: HostArray, up: HostArray) -> HostArray {
    gate.zip(up) { $0 * sigmoid($0) * $1 }
  }

  /// Gradients of `swiGLU`, with silu′(g) = σ(g) + g·σ(g)·σ(−g).
  package static func swiGLUBackward(dy: HostArray, gate: HostArray, up: HostArray) -> (
    dGate: HostArray, dUp: HostArray
  ) {
    let derivative = gate.map { sigmoid($0) + $0 * sigmoid($0) * sigmoid(-$0) }
    return (
      dy.zip(up) { $0 * $1 }.zip(derivative) { $0 * $1 },
      dy.zip(gate) { $0 * $1 * sigmoid($1) }
    )
  }

  // MARK: Reductions

  /// Σ_n x[n, c].
  package static func sumOfRows(_ x: HostArray) -> HostArray {
    var y = HostArray([x.columnCount], repeating: 0)
    for n in 0..<x.rowCount {
      for c in 0..<x.columnCount { y[c] += x[n, c] }
    }
    return y
  }

  package static func sum(_ x: HostArray) -> HostArray {
    HostArray([], [x.elements.reduce(0, +)])
  }

  package static func squaredNorm(_ x: HostArray) -> HostArray {
    HostArray([], [x.elements.reduce(0) { $0 + $1 * $1 }])
  }

  /// The lowest index of the largest element of every row.
  package static func argmaxOfRows(_ x: HostArray) -> HostArray {
    var y = HostArray([x.rowCount], repeating: 0)
    for n in 0..<x.rowCount {
      for c in 0..<x.columnCount where x[n, c] > x[n, Int(y[n])] { y[n] = Double(c) }
    }
    return y
  }

  /// exp(x) / Σ exp(x) of every row.
  package static func softmax(_ x: HostArray) -> HostArray {
    var y = x
    for n in 0..<x.rowCount {
      let row = (0..<x.columnCount).map { x[n, $0] }
      let largest = row.max() ?? 0
      let total = row.reduce(0) { $0 + exp($1 - largest) }
      for c in 0..<x.columnCount { y[n, c] = exp(x[n, c] - largest) / total }
    }
    return y
  }

  // MARK: Products

  /// α·op(a)·op(b) with the leading axes of `a` kept where it is not transposed.
  package static func matmul(
    _ a: HostArray, transposeA: Bool = false, _ b: HostArray, transposeB: Bool = false,
    alpha: Double = 1
  ) -> HostArray {
    let m = transposeA ? a.columnCount : a.rowCount
    let k = transposeA ? a.rowCount : a.columnCount
    let n = transposeB ? b.rowCount : b.columnCount
    let shape: Shape = transposeA ? [m, n] : a.shape.replacingLast(with: n)
    var y = HostArray(shape, repeating: 0)
    for i in 0..<m {
      for j in 0..<n {
        var total = 0.0
        for l in 0..<k {
          total += (transposeA ? a[l, i] : a[i, l]) * (transposeB ? b[j, l] : b[l, j])
        }
        y[i * n + j] = alpha * total
      }
    }
    return y
  }

  /// x·Wᵀ + b.
  package static func linear(_ x: HostArray, _ weight: HostArray, bias: HostArray? = nil)
    -> HostArray
  {
    let y = matmul(x, weight, transposeB: true)
    return bias.map { addingRow(y, $0) } ?? y
  }

  /// x·Wᵀ + b + s·((mask ⊙ x)·Aᵀ)·Bᵀ.
  package static func loraLinear(
    _ x: HostArray, _ weight: HostArray, a: HostArray, b: HostArray, bias: HostArray? = nil,
    scale: Double, mask: HostArray? = nil
  ) -> HostArray {
    let dropped = mask.map { x.zip($0) { $0 * $1 } } ?? x
    let low = matmul(dropped, a, transposeB: true)
    let update = matmul(low, b, transposeB: true, alpha: scale)
    return linear(x, weight, bias: bias).zip(update) { $0 + $1 }
  }

  /// DoRA as PEFT computes it: base(x) + b + (g − 1) ⊙ base(u) + g ⊙ s·B(A(u)) with u = drop(x), g = magnitude / norms.
  package static func weightDecomposedLinear(
    _ x: HostArray, _ weight: HostArray, a: HostArray, b: HostArray, magnitude: HostArray,
    norms: HostArray, bias: HostArray? = nil, scale: Double, mask: HostArray? = nil
  ) -> HostArray {
    let u = mask.map { x.zip($0) { $0 * $1 } } ?? x
    let update = matmul(
      matmul(u, a, transposeB: true), b, transposeB: true, alpha: scale)
    let base = linear(u, weight)
    var y = linear(x, weight, bias: bias)
    for n in 0..<y.rowCount {
      for f in 0..<y.columnCount {
        let g = magnitude[f] / norms[f]
        y[n, f] += (g - 1) * base[n, f] + g * update[n, f]
      }
    }
    return y
  }

  /// ‖W + s·B·A‖ of every row.
  package static func adaptedRowNorms(
    _ weight: HostArray, a: HostArray, b: HostArray, scale: Double
  ) -> HostArray {
    let adapted = weight.zip(matmul(b, a, alpha: scale)) { $0 + $1 }
    return dotRows(adapted, adapted).map { $0.squareRoot() }
  }

  // MARK: Shapes and tables

  /// The axes in another order.
  package static func permuted(_ x: HostArray, _ axes: [Int]) -> HostArray {
    let shape = Shape(axes.map { x.shape[$0] })
    let strides = x.shape.strides
    var y = HostArray(shape, repeating: 0)
    for index in 0..<y.count {
      var (rest, source) = (index, 0)
      for axis in stride(from: axes.count - 1, through: 0, by: -1) {
        source += rest % shape[axis] * strides[axes[axis]]
        rest /= shape[axis]
      }
      y[index] = x[source]
    }
    return y
  }

  /// table[ids[n]].
  package static func embedding(_ table: HostArray, _ ids: [Int]) -> HostArray {
    var y = HostArray([ids.count, table.columnCount], repeating: 0)
    for (n, id) in ids.enumerated() {
      for c in 0..<table.columnCount { y[n, c] = table[id, c] }
    }
    return y
  }

  /// table[ids[n]] += x[n].
  package static func scatterAdded(_ table: HostArray, _ x: HostArray, _ ids: [Int]) -> HostArray {
    var y = table
    for (n, id) in ids.enumerated() {
      for c in 0..<table.columnCount { y[id, c] += x[n, c] }
    }
    return y
  }
}
