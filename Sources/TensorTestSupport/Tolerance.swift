// How far a kernel may be from its oracle: one table, by element type. No test has a tolerance of its own.

package import Tensor

/// The bound |actual − expected| ≤ relative·(|expected| + max(rms(expected), size of the terms)).
///
/// The root mean square of the whole result stands for the size of the terms of sums that cancel; a case whose results
/// are differences of larger terms names their size.
package struct Tolerance: Sendable {
  package let relative: Double

  /// The bound for results of an element type; indices and flags must be equal.
  ///
  /// In bfloat16 every one of the `roundings` on the way to a result adds a unit in the last place.
  package static func of(_ dtype: DType, roundings: Int = 1) -> Tolerance {
    switch dtype {
    case .float64: Tolerance(relative: 1e-13)
    case .float32: Tolerance(relative: 4e-6)
    // Arithmetic is in float32; half a unit in the last place of a rounded value, and as much again for the sums.
    case .bfloat16: Tolerance(relative: 0x1p-8 * Double(roundings))
    case .int32, .uint8, .float16: Tolerance(relative: 0)
    }
  }

  /// The worst element that is out of bounds, nil when there is none. NaN and infinity must be met exactly.
  package func violation(
    actual: HostArray, expected: HostArray, termSize: Double = 0
  ) -> Violation? {
    guard actual.shape == expected.shape else {
      return Violation(
        index: -1, expected: .nan, actual: .nan, bound: 0,
        shapes: "shape \(actual.shape) instead of \(expected.shape)")
    }
    let finite = expected.elements.filter(\.isFinite)
    let meanSquare = finite.reduce(0) { $0 + $1 * $1 } / Double(max(finite.count, 1))
    let size = max(meanSquare.squareRoot(), termSize)
    var worst: Violation?
    for index in 0..<expected.count {
      let (x, y) = (actual[index], expected[index])
      if x == y || (x.isNaN && y.isNaN) { continue }
      let bound = relative * (y.magnitude + size)
      if (x - y).magnitude <= bound { continue }
      if let worst, !((x - y).magnitude > (worst.actual - worst.expected).magnitude) { continue }
      worst = Violation(
        index: index, expected: y, actual: x, bound: bound, shapes: "shape \(expected.shape)")
    }
    return worst
  }
}

/// An element that differs from its oracle by more than allowed.
package struct Violation: Error, CustomStringConvertible {
  package let index: Int
  package let expected, actual, bound: Double
  package let shapes: String

  package var description: String {
    "\(shapes), index \(index): expected \(expected), got \(actual), allowed difference \(bound)"
  }
}
