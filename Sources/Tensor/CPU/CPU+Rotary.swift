// Rotary position embedding: half-rotation of every head by the angles of its token's position, by itself and with the norm
// of heads before it. The heads of a token stay in the cache between the two.

extension CPUBackend: RotaryKernels {
  package func rotate(
    _ x: Operand, _ rotation: Rotation, inverse: Bool, normalizedBy norm: HeadNorm?,
    into y: Destination
  ) {
    guard let norm else {
      return dispatch(
        x.dtype, RotaryKernel(x: x, rotation: rotation, inverse: inverse, y: y), "rotate")
    }
    precondition(!inverse, "rotate: a norm before an inverse rotation")
    dispatch(
      x.dtype, NormalizedRotaryKernel(x: x, norm: norm, rotation: rotation, y: y), "rotate")
  }

  package func rotateNormalizedBackward(
    dy: Operand, x: Operand, weight: Operand, rstd: Operand, _ rotation: Rotation, dx: Destination,
    dWeight: Destination?
  ) {
    if let dWeight {
      // The gradient of the weight needs that of the norm's result.
      rotate(dy, rotation, inverse: true, normalizedBy: nil, into: dx)
      rmsNormBackward(
        dy: dx.operand, x: x, weight: weight, rstd: rstd, rows: rotation.rows * rotation.heads,
        columns: rotation.headDim, dx: dx, dWeight: dWeight)
      return
    }
    dispatch(
      x.dtype,
      NormalizedRotaryBackwardKernel(
        dy: dy, x: x, weight: weight, rstd: rstd, rotation: rotation, dx: dx),
      "rotateNormalizedBackward")
  }
}

extension Rotation {
  /// Runs `body` with every token, the cosines and the sines of its position, on several threads.
  @inline(__always)
  fileprivate func forEachRow<C: KernelCompute>(
    _ type: C.Type, _ body: (_ row: Int, UnsafePointer<C>, UnsafePointer<C>) -> Void
  ) {
    precondition(cos.dtype == C.accumulationDType, "rotate: tables are \(cos.dtype.rawValue)")
    let (cosTable, sinTable) = (cos.pointer(C.self), sin.pointer(C.self))
    let (positions, half) = (positions.pointer(Int32.self), half)
    let tableRows = cos.count / max(half, 1)
    parallelFor(rows, grain: CPUBackend.rowGrain(columns: heads * headDim)) { range in
      for n in range {
        let position = Int(positions[n])
        precondition(
          position >= 0 && position < tableRows, "rotate: position \(position) of \(tableRows)")
        body(n, cosTable + position * half, sinTable + position * half)
      }
    }
  }

  /// The heads of token `row` by the angles of its position; y may be x.
  @inline(__always)
  fileprivate func rotateHeads<T: KernelElement>(
    ofRow row: Int, _ x: UnsafePointer<T>, _ cos: UnsafePointer<T.Compute>,
    _ sin: UnsafePointer<T.Compute>, inverse: Bool, into y: UnsafeMutablePointer<T>
  ) {
    let offset = row * heads * headDim
    T.rotateHeads(
      x + offset, cos, sin, sign: inverse ? -1 : 1, into: y + offset, heads: heads,
      headDim: headDim, half: half)
  }
}

private struct RotaryKernel: FloatKernel {
  let x: Operand
  let rotation: Rotation
  let inverse: Bool
  let y: Destination

  @inline(__always)
  func run<T: KernelElement>(_ type: T.Type) {
    let (source, target) = (x.pointer(T.self), y.pointer(T.self))
    let (rotation, inverse) = (rotation, inverse)
    rotation.forEachRow(T.Compute.self) { n, cos, sin in
      rotation.rotateHeads(ofRow: n, source, cos, sin, inverse: inverse, into: target)
    }
  }
}

private struct NormalizedRotaryKernel: FloatKernel {
  let x: Operand
  let norm: HeadNorm
  let rotation: Rotation
  let y: Destination

  @inline(__always)
  func run<T: KernelElement>(_ type: T.Type) {
    let (source, target, rotation) = (x.pointer(T.self), y.pointer(T.self), rotation)
    let (weight, rstd) = (norm.weight.pointer(T.self), norm.rstd.pointer(T.Compute.self))
    let epsilon = T.Compute(norm.epsilon)
    rotation.forEachRow(T.Compute.self) { n, cos, sin in
      let (first, offset) = (n * rotation.heads, n * rotation.heads * rotation.headDim)
      T.normalizeRows(
        source + offset, weight, epsilon: epsilon, into: target + offset, rstd: rstd + first,
        rows: rotation.heads, columns: rotation.headDim)
      rotation.rotateHeads(ofRow: n, target, cos, sin, inverse: false, into: target)
    }
  }
}

private struct NormalizedRotaryBackwardKernel: FloatKernel {
  let dy: Operand
  let x: Operand
  let weight: Operand
  let rstd: Operand
  let rotation: Rotation
  let dx: Destination

  @inline(__always)
  func run<T: KernelElement>(_ type: T.Type) {
    let (dy, x, weight) = (dy.pointer(T.self), x.pointer(T.self), weight.pointer(T.self))
    let (rstd, dx, rotation) = (rstd.pointer(T.Compute.self), dx.pointer(T.self), rotation)
    rotation.forEachRow(T.Compute.self) { n, cos, sin in
      let (first, offset) = (n * rotation.heads, n * rotation.heads * rotation.headDim)
      rotation.rotateHeads(ofRow: n, dy, cos, sin, inverse: true, into: dx)
      T.normalizeRowsBackward(
        dx + offset, x + offset, weight, rstd: rstd + first, into: dx + offset,
        rows: rotation.heads, columns: rotation.headDim)
    }
  }
}

extension KernelCompute {
  /// The element type of tables and statistics for kernels that compute in this type.
  static var accumulationDType: DType { self == Double.self ? .float64 : .float32 }
}
