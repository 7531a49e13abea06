// The norm of heads with their rotation, beside the two operations that it stands for.

import Tensor
import Testing

@Suite("Norm and rotation of heads")
struct RotationTests {
  @Test(
    "in one pass they give the numbers of two, and so do their gradients",
    arguments: [DType.float32, .float64, .bfloat16],
    [(5, 3, 17, 4), (9, 2, 128, 64), (2, 1, 40, 16)])
  func composition(dtype: DType, size: (rows: Int, heads: Int, dim: Int, half: Int)) throws {
    func normal(_ shape: Shape, _ index: UInt32, _ dtype: DType) -> Tensor {
      Tensor.normal(shape, stream: RandomStream(seed: 5, purpose: .test, index: Int(index)))
        .cast(to: dtype)
    }
    let shape: Shape = [size.rows, size.heads, size.dim]
    let (x, dy) = (normal(shape, 0, dtype), normal(shape, 1, dtype))
    let weight = normal([size.dim], 2, dtype)
    let cos = normal([size.rows + 2, size.half], 3, dtype.accumulation)
    let sin = normal([size.rows + 2, size.half], 4, dtype.accumulation)
    let positions = Tensor((0..<size.rows).map { Int32($0 + 1) })

    let (y, rstd) = x.rotatedNormalized(
      weight: weight, epsilon: 1e-6, cos: cos, sin: sin, positions: positions)
    let (normalized, otherRstd) = x.rmsNorm(weight: weight, epsilon: 1e-6)
    let rotated = normalized.rotated(cos: cos, sin: sin, positions: positions)
    #expect(try y.doubles() == rotated.doubles())
    #expect(try rstd.doubles() == otherRstd.doubles())

    let back = dy.rotated(cos: cos, sin: sin, positions: positions, inverse: true)
    let expected = Tensor.rmsNormBackward(
      dy: back, x: x, weight: weight, rstd: rstd, needsWeight: true)
    for needsWeight in [false, true] {
      let (dx, dWeight) = x.rotatedNormalizedBackward(
        dy: dy, weight: weight, rstd: rstd, cos: cos, sin: sin, positions: positions,
        needsWeight: needsWeight)
      #expect(try dx.doubles() == expected.dx.doubles())
      let gradient = needsWeight ? try expected.dWeight?.doubles() : nil
      #expect(try dWeight?.doubles() == gradient)
    }
  }
}
