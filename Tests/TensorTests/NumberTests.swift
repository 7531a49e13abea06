// Scalar building blocks: the exponential over its whole range, and bfloat16 rounding.

import Glibc
import Tensor
import Testing

@Suite("Numbers")
struct NumberTests {
  /// |eˣ − expected| in units in the last place of the exact result (of the smallest number below the normal range).
  private static func error(_ actual: Float, _ x: Float) -> Double {
    let exact = exp(Double(x))
    let unit = max(Float(exact).ulp, Float.leastNonzeroMagnitude)
    return (Double(actual) - exact).magnitude / Double(unit)
  }

  @Test("the vector exponential is within two units in the last place over all finite results")
  func exponential() {
    var worst = 0.0
    var worstDenormal = 0.0
    // Every 61st bit pattern between the smallest and the largest argument with a finite, non-zero result.
    let ranges: [(UInt32, UInt32)] = [
      (Float(0).bitPattern, Float(88.72283).bitPattern),
      (Float(-0.0).bitPattern, Float(-103.97).bitPattern),
    ]
    for (first, last) in ranges {
      var bits = first
      while bits + 8 * 61 < last {
        var x = SIMD8<Float>.zero
        for lane in 0..<8 { x[lane] = Float(bitPattern: bits + UInt32(lane) * 61) }
        let y = Float.exponential(x)
        for lane in 0..<8 {
          let error = NumberTests.error(y[lane], x[lane])
          if y[lane] < .leastNormalMagnitude {
            worstDenormal = max(worstDenormal, error)
          } else {
            worst = max(worst, error)
          }
        }
        bits += 8 * 61
      }
    }
    #expect(worst <= 2, "worst error of normal results: \(worst) ulp")
    #expect(worstDenormal <= 1, "worst error below the normal range: \(worstDenormal) ulp")
  }

  @Test("the vector exponential at its edges")
  func exponentialEdges() {
    let edges: [(Float, Float)] = [
      (0, 1), (-0.0, 1), (.infinity, .infinity), (-.infinity, 0), (89, .infinity),
      (.greatestFiniteMagnitude, .infinity), (-.greatestFiniteMagnitude, 0), (-105, 0), (-1000, 0),
      (.leastNonzeroMagnitude, 1), (-.leastNonzeroMagnitude, 1), (.leastNormalMagnitude, 1),
      (88.72284, .infinity), (1e-20, 1), (-104, 0),
    ]
    for (x, expected) in edges {
      let y = Float.exponential(SIMD8(repeating: x))
      for lane in 0..<8 { #expect(y[lane] == expected, "e^\(x)") }
    }
    let largest = Float.exponential(SIMD8(repeating: 88.72283))
    #expect(largest[0].isFinite && largest[0] > 3.4e38)
    let mixed = Float.exponential(SIMD8(.nan, 1, -.infinity, .nan, .infinity, 0, -.nan, 2))
    #expect(mixed[0].isNaN && mixed[3].isNaN && mixed[6].isNaN)
    #expect(mixed[2] == 0 && mixed[4] == .infinity && mixed[5] == 1)
    #expect((mixed[1] - 2.7182817).magnitude <= 2 * Float(2.7182817).ulp)
  }

  @Test("sigmoid and SiLU stay finite for extreme arguments")
  func sigmoidEdges() throws {
    let x: [Float] = [-1000, -100, -90, 90, 100, 1000, 0, .infinity, -.infinity]
    let sigmoid = try Tensor(x).sigmoid().array(of: Float.self)
    #expect(sigmoid.allSatisfy { $0 >= 0 && $0 <= 1 })
    #expect(sigmoid[0] == 0 && sigmoid[5] == 1 && sigmoid[6] == 0.5 && sigmoid[7] == 1)
    let silu = try Tensor(Array(x[..<7])).silu().array(of: Float.self)
    #expect(silu.allSatisfy { $0.isFinite } && silu[5] == 1000 && silu[6] == 0 && silu[0] == 0)
  }

  /// Rounds by comparing the distances to the two neighbours; ties go to the even pattern.
  private static func rounded(_ value: Float) -> UInt16 {
    let below = UInt16(value.bitPattern >> 16)
    let low = Float(bitPattern: UInt32(below) << 16)
    if low == value { return below }
    let exponentOnly = below == 0x7f7f || below == 0xff7f
    // The neighbour above the largest number is 2¹²⁸, which rounding treats as the next number.
    let high =
      exponentOnly ? 0x1p128 : Double(Float(bitPattern: (UInt32(below) + 1) << 16)).magnitude
    let (toLow, toHigh) = (
      Double(value).magnitude - Double(low).magnitude, high - Double(value).magnitude
    )
    if toLow == toHigh { return below & 1 == 0 ? below : below + 1 }
    return toLow < toHigh ? below : below + 1
  }

  @Test(
    "bfloat16 rounds to nearest, ties to even, for every upper half and the deciding lower halves")
  func bfloat16() throws {
    var values: [Float] = []
    for upper in 0...UInt32(0xffff) {
      for lower: UInt32 in [0, 1, 0x7fff, 0x8000, 0x8001, 0xffff] {
        values.append(Float(bitPattern: upper << 16 | lower))
      }
    }
    let stored = try Tensor(values).cast(to: .bfloat16).array(of: BFloat16.self)
    var failures = 0
    for (value, result) in zip(values, stored) {
      let scalar = BFloat16(value)
      if value.isNaN {
        // A NaN stays one, also where only lower bits told it from infinity.
        if !result.float.isNaN || !scalar.float.isNaN { failures += 1 }
      } else if result.bitPattern != NumberTests.rounded(value) || scalar != result {
        failures += 1
      }
    }
    #expect(failures == 0)
  }

  @Test("bfloat16 widens exactly and every pattern survives the way back")
  func bfloat16RoundTrip() throws {
    let patterns = (0...UInt16.max).map { BFloat16(bitPattern: $0) }
    let wide = try Tensor(patterns).cast(to: .float32).array(of: Float.self)
    #expect(zip(patterns, wide).allSatisfy { UInt32($0.bitPattern) << 16 == $1.bitPattern })
    let back = try Tensor(wide).cast(to: .bfloat16).array(of: BFloat16.self)
    #expect(
      zip(patterns, back).allSatisfy {
        $0 == $1 || ($0.float.isNaN && $1.float.isNaN)
      })
  }
}
