// Kernels on consecutive elements and on rows: in C with the processor's best instructions for float and bfloat16 (CKernels), plainly
// for Double, which serves gradient checks.

import CKernels
import Glibc

/// What norms, rotations, softmax, cross-entropy and the gated activation need of an element type.
package protocol RowKernels: BitwiseCopyable, Sendable {
  associatedtype Compute: BinaryFloatingPoint & Sendable

  /// y ← silu(gate) ⊙ up.
  static func swiGLU(
    gate: UnsafePointer<Self>, up: UnsafePointer<Self>, into y: UnsafeMutablePointer<Self>,
    count: Int)
  /// dGate ← dy ⊙ up ⊙ silu′(gate), dUp ← dy ⊙ silu(gate).
  static func swiGLUBackward(
    dy: UnsafePointer<Self>, gate: UnsafePointer<Self>, up: UnsafePointer<Self>,
    dGate: UnsafeMutablePointer<Self>, dUp: UnsafeMutablePointer<Self>, count: Int)
  /// p ← exp(s − max s) for the first `visible` scores and 0 up to `count`; returns max s and Σ exp(s − max s). p may be s.
  static func exponentials(
    _ s: UnsafePointer<Compute>, into p: UnsafeMutablePointer<Self>, visible: Int, count: Int
  ) -> (largest: Compute, sum: Compute)
  /// p ← exp(s − logSumExp) and ds ← p·(dp − delta)·scale for the first `visible`, 0 up to `count`.
  /// p may be s, ds may be dp.
  static func softmaxBackward(
    _ s: UnsafePointer<Compute>, _ dp: UnsafePointer<Compute>, into p: UnsafeMutablePointer<Self>,
    _ ds: UnsafeMutablePointer<Self>, visible: Int, count: Int, logSumExp: Compute, delta: Compute,
    scale: Compute)
  /// y ← x·rstd·w for each row, rstd = 1 / √(mean x² + epsilon). y may be x.
  static func normalizeRows(
    _ x: UnsafePointer<Self>, _ weight: UnsafePointer<Self>, epsilon: Compute,
    into y: UnsafeMutablePointer<Self>, rstd: UnsafeMutablePointer<Compute>, rows: Int, columns: Int
  )
  /// dx ← rstd·(g − x̂·mean(g ⊙ x̂)) for each row, with g = dy ⊙ w and x̂ = x·rstd. dx may be dy.
  static func normalizeRowsBackward(
    _ dy: UnsafePointer<Self>, _ x: UnsafePointer<Self>, _ weight: UnsafePointer<Self>,
    rstd: UnsafePointer<Compute>, into dx: UnsafeMutablePointer<Self>, rows: Int, columns: Int)
  /// The heads of one token by the angles of its position, of each the pairs (x[i], x[half + i]); `sign` is −1 for the inverse. y may be x.
  static func rotateHeads(
    _ x: UnsafePointer<Self>, _ cos: UnsafePointer<Compute>, _ sin: UnsafePointer<Compute>,
    sign: Compute, into y: UnsafeMutablePointer<Self>, heads: Int, headDim: Int, half: Int)
  /// Σ x ⊙ y.
  static func dot(_ x: UnsafePointer<Self>, _ y: UnsafePointer<Self>, count: Int) -> Compute
  /// The largest of at least one element.
  static func largest(of x: UnsafePointer<Self>, count: Int) -> Compute
  /// Σ exp(x − largest).
  static func sumOfExponentials(_ x: UnsafePointer<Self>, minus largest: Compute, count: Int)
    -> Double
  /// x ← exp(x − largest)·factor.
  static func scaleExponentials(
    _ x: UnsafeMutablePointer<Self>, minus largest: Compute, by factor: Compute, count: Int)
}

extension Float: RowKernels {
  @inline(__always)
  package static func swiGLU(
    gate: UnsafePointer<Float>, up: UnsafePointer<Float>, into y: UnsafeMutablePointer<Float>,
    count: Int
  ) { ck_swiglu_f32(gate, up, y, count) }

  @inline(__always)
  package static func swiGLUBackward(
    dy: UnsafePointer<Float>, gate: UnsafePointer<Float>, up: UnsafePointer<Float>,
    dGate: UnsafeMutablePointer<Float>, dUp: UnsafeMutablePointer<Float>, count: Int
  ) { ck_swiglu_backward_f32(dy, gate, up, dGate, dUp, count) }

  @inline(__always)
  package static func exponentials(
    _ s: UnsafePointer<Float>, into p: UnsafeMutablePointer<Float>, visible: Int, count: Int
  ) -> (largest: Float, sum: Float) {
    var sum: Float = 0
    let largest = ck_exponentials_f32(s, p, visible, count, &sum)
    return (largest, sum)
  }

  @inline(__always)
  package static func softmaxBackward(
    _ s: UnsafePointer<Float>, _ dp: UnsafePointer<Float>, into p: UnsafeMutablePointer<Float>,
    _ ds: UnsafeMutablePointer<Float>, visible: Int, count: Int, logSumExp: Float, delta: Float,
    scale: Float
  ) { ck_softmax_backward_f32(s, dp, p, ds, visible, count, logSumExp, delta, scale) }

  @inline(__always)
  package static func normalizeRows(
    _ x: UnsafePointer<Float>, _ weight: UnsafePointer<Float>, epsilon: Float,
    into y: UnsafeMutablePointer<Float>, rstd: UnsafeMutablePointer<Float>, rows: Int, columns: Int
  ) { ck_norm_rows_f32(x, weight, epsilon, y, rstd, rows, columns) }

  @inline(__always)
  package static func normalizeRowsBackward(
    _ dy: UnsafePointer<Float>, _ x: UnsafePointer<Float>, _ weight: UnsafePointer<Float>,
    rstd: UnsafePointer<Float>, into dx: UnsafeMutablePointer<Float>, rows: Int, columns: Int
  ) {
    ck_norm_rows_backward_f32(dy, x, weight, rstd, dx, rows, columns)
  }

  @inline(__always)
  package static func rotateHeads(
    _ x: UnsafePointer<Float>, _ cos: UnsafePointer<Float>, _ sin: UnsafePointer<Float>,
    sign: Float, into y: UnsafeMutablePointer<Float>, heads: Int, headDim: Int, half: Int
  ) { ck_rotate_heads_f32(x, cos, sin, sign, y, heads, headDim, half) }

  @inline(__always)
  package static func dot(_ x: UnsafePointer<Float>, _ y: UnsafePointer<Float>, count: Int) -> Float
  { ck_dot_f32(x, y, count) }

  @inline(__always)
  package static func largest(of x: UnsafePointer<Float>, count: Int) -> Float {
    ck_max_f32(x, count)
  }

  @inline(__always)
  package static func sumOfExponentials(
    _ x: UnsafePointer<Float>, minus largest: Float, count: Int
  ) -> Double { ck_exp_sum_f32(x, largest, count) }

  @inline(__always)
  package static func scaleExponentials(
    _ x: UnsafeMutablePointer<Float>, minus largest: Float, by factor: Float, count: Int
  ) { ck_exp_scale_f32(x, largest, factor, count) }
}

extension BFloat16: RowKernels {
  /// The bits of consecutive elements, as C sees them.
  @inline(__always)
  private static func bits(_ x: UnsafePointer<BFloat16>) -> UnsafePointer<UInt16> {
    UnsafeRawPointer(x).assumingMemoryBound(to: UInt16.self)
  }
  @inline(__always)
  private static func bits(_ x: UnsafeMutablePointer<BFloat16>) -> UnsafeMutablePointer<UInt16> {
    UnsafeMutableRawPointer(x).assumingMemoryBound(to: UInt16.self)
  }

  @inline(__always)
  package static func swiGLU(
    gate: UnsafePointer<BFloat16>, up: UnsafePointer<BFloat16>,
    into y: UnsafeMutablePointer<BFloat16>, count: Int
  ) { ck_swiglu_bf16(bits(gate), bits(up), bits(y), count) }

  @inline(__always)
  package static func swiGLUBackward(
    dy: UnsafePointer<BFloat16>, gate: UnsafePointer<BFloat16>, up: UnsafePointer<BFloat16>,
    dGate: UnsafeMutablePointer<BFloat16>, dUp: UnsafeMutablePointer<BFloat16>, count: Int
  ) { ck_swiglu_backward_bf16(bits(dy), bits(gate), bits(up), bits(dGate), bits(dUp), count) }

  @inline(__always)
  package static func exponentials(
    _ s: UnsafePointer<Float>, into p: UnsafeMutablePointer<BFloat16>, visible: Int, count: Int
  ) -> (largest: Float, sum: Float) {
    var sum: Float = 0
    let largest = ck_exponentials_bf16(s, bits(p), visible, count, &sum)
    return (largest, sum)
  }

  @inline(__always)
  package static func softmaxBackward(
    _ s: UnsafePointer<Float>, _ dp: UnsafePointer<Float>, into p: UnsafeMutablePointer<BFloat16>,
    _ ds: UnsafeMutablePointer<BFloat16>, visible: Int, count: Int, logSumExp: Float, delta: Float,
    scale: Float
  ) {
    ck_softmax_backward_bf16(s, dp, bits(p), bits(ds), visible, count, logSumExp, delta, scale)
  }

  @inline(__always)
  package static func normalizeRows(
    _ x: UnsafePointer<BFloat16>, _ weight: UnsafePointer<BFloat16>, epsilon: Float,
    into y: UnsafeMutablePointer<BFloat16>, rstd: UnsafeMutablePointer<Float>, rows: Int,
    columns: Int
  ) { ck_norm_rows_bf16(bits(x), bits(weight), epsilon, bits(y), rstd, rows, columns) }

  @inline(__always)
  package static func normalizeRowsBackward(
    _ dy: UnsafePointer<BFloat16>, _ x: UnsafePointer<BFloat16>, _ weight: UnsafePointer<BFloat16>,
    rstd: UnsafePointer<Float>, into dx: UnsafeMutablePointer<BFloat16>, rows: Int, columns: Int
  ) {
    ck_norm_rows_backward_bf16(bits(dy), bits(x), bits(weight), rstd, bits(dx), rows, columns)
  }

  @inline(__always)
  package static func rotateHeads(
    _ x: UnsafePointer<BFloat16>, _ cos: UnsafePointer<Float>, _ sin: UnsafePointer<Float>,
    sign: Float, into y: UnsafeMutablePointer<BFloat16>, heads: Int, headDim: Int, half: Int
  ) { ck_rotate_heads_bf16(bits(x), cos, sin, sign, bits(y), heads, headDim, half) }

  @inline(__always)
  package static func dot(_ x: UnsafePointer<BFloat16>, _ y: UnsafePointer<BFloat16>, count: Int)
    -> Float
  { ck_dot_bf16(bits(x), bits(y), count) }

  @inline(__always)
  package static func largest(of x: UnsafePointer<BFloat16>, count: Int) -> Float {
    ck_max_bf16(bits(x), count)
  }

  @inline(__always)
  package static func sumOfExponentials(
    _ x: UnsafePointer<BFloat16>, minus largest: Float, count: Int
  ) -> Double { ck_exp_sum_bf16(bits(x), largest, count) }

  @inline(__always)
  package static func scaleExponentials(
    _ x: UnsafeMutablePointer<BFloat16>, minus largest: Float, by factor: Float, count: Int
  ) { ck_exp_scale_bf16(bits(x), largest, factor, count) }
}

extension Double: RowKernels {
  package static func swiGLU(
    gate: UnsafePointer<Double>, up: UnsafePointer<Double>, into y: UnsafeMutablePointer<Double>,
    count: Int
  ) {
    for i in 0..<count { y[i] = gate[i] / (1 + exp(-gate[i])) * up[i] }
  }

  package static func swiGLUBackward(
    dy: UnsafePointer<Double>, gate: UnsafePointer<Double>, up: UnsafePointer<Double>,
    dGate: UnsafeMutablePointer<Double>, dUp: UnsafeMutablePointer<Double>, count: Int
  ) {
    for i in 0..<count {
      let (d, g, u) = (dy[i], gate[i], up[i])
      let sigma = 1 / (1 + exp(-g))
      dGate[i] = d * u * sigma * (1 + g * (1 - sigma))
      dUp[i] = d * g * sigma
    }
  }

  package static func exponentials(
    _ s: UnsafePointer<Double>, into p: UnsafeMutablePointer<Double>, visible: Int, count: Int
  ) -> (largest: Double, sum: Double) {
    let largest = largest(of: s, count: visible)
    var sum = 0.0
    for i in 0..<visible {
      p[i] = exp(s[i] - largest)
      sum += p[i]
    }
    for i in visible..<max(count, visible) { p[i] = 0 }
    return (largest, sum)
  }

  package static func softmaxBackward(
    _ s: UnsafePointer<Double>, _ dp: UnsafePointer<Double>, into p: UnsafeMutablePointer<Double>,
    _ ds: UnsafeMutablePointer<Double>, visible: Int, count: Int, logSumExp: Double, delta: Double,
    scale: Double
  ) {
    for i in 0..<visible {
      let (probability, gradient) = (exp(s[i] - logSumExp), dp[i])
      p[i] = probability
      ds[i] = probability * (gradient - delta) * scale
    }
    for i in visible..<max(count, visible) { (p[i], ds[i]) = (0, 0) }
  }

  package static func normalizeRows(
    _ x: UnsafePointer<Double>, _ weight: UnsafePointer<Double>, epsilon: Double,
    into y: UnsafeMutablePointer<Double>, rstd: UnsafeMutablePointer<Double>, rows: Int,
    columns: Int
  ) {
    for row in 0..<rows {
      let (x, y) = (x + row * columns, y + row * columns)
      let scale = 1 / (dot(x, x, count: columns) / Double(columns) + epsilon).squareRoot()
      for c in 0..<columns { y[c] = x[c] * scale * weight[c] }
      rstd[row] = scale
    }
  }

  package static func normalizeRowsBackward(
    _ dy: UnsafePointer<Double>, _ x: UnsafePointer<Double>, _ weight: UnsafePointer<Double>,
    rstd: UnsafePointer<Double>, into dx: UnsafeMutablePointer<Double>, rows: Int, columns: Int
  ) {
    for row in 0..<rows {
      let (dy, x, dx) = (dy + row * columns, x + row * columns, dx + row * columns)
      var sum = 0.0
      for c in 0..<columns { sum += dy[c] * weight[c] * x[c] }
      let mean = sum * rstd[row] * rstd[row] / Double(columns)
      for c in 0..<columns { dx[c] = (dy[c] * weight[c] - x[c] * mean) * rstd[row] }
    }
  }

  package static func rotateHeads(
    _ x: UnsafePointer<Double>, _ cos: UnsafePointer<Double>, _ sin: UnsafePointer<Double>,
    sign: Double, into y: UnsafeMutablePointer<Double>, heads: Int, headDim: Int, half: Int
  ) {
    for head in 0..<heads {
      let (x, y) = (x + head * headDim, y + head * headDim)
      for i in 0..<half {
        let (first, second) = (x[i], x[half + i])
        y[i] = first * cos[i] - second * sin[i] * sign
        y[half + i] = second * cos[i] + first * sin[i] * sign
      }
      for i in 2 * half..<max(headDim, 2 * half) { y[i] = x[i] }
    }
  }

  package static func dot(_ x: UnsafePointer<Double>, _ y: UnsafePointer<Double>, count: Int)
    -> Double
  {
    var total = 0.0
    for i in 0..<count { total += x[i] * y[i] }
    return total
  }

  package static func largest(of x: UnsafePointer<Double>, count: Int) -> Double {
    var largest = x[0]
    for i in 1..<max(count, 1) where x[i] > largest { largest = x[i] }
    return largest
  }

  package static func sumOfExponentials(
    _ x: UnsafePointer<Double>, minus largest: Double, count: Int
  ) -> Double {
    var total = 0.0
    for i in 0..<count { total += exp(x[i] - largest) }
    return total
  }

  package static func scaleExponentials(
    _ x: UnsafeMutablePointer<Double>, minus largest: Double, by factor: Double, count: Int
  ) {
    for i in 0..<count { x[i] = exp(x[i] - largest) * factor }
  }
}
