// What a differentiable operation is: forward and backward in one value. There is no other way onto the tape, so
// an operation without a backward cannot be recorded.

package import Tensor

/// A differentiable operation: its parameters are stored properties, its inputs come as tensors.
package protocol Primitive: Sendable {
  /// What backward needs from forward.
  associatedtype Residuals
  /// The name under which the gradient-check coverage test looks for it.
  static var name: String { get }
  /// Computes the output, and keeps what backward will need for the inputs that `needs` names.
  func forward(_ inputs: [Tensor], needs: GradientMask) -> (output: Tensor, residuals: Residuals)
  /// Adds the gradients of the inputs, given that of the output.
  ///
  /// Both arguments are handed over: a rule that takes them as `consuming` may reuse their memory, or give it back
  /// before it asks for more.
  func backward(
    _ dy: consuming Tensor, _ residuals: consuming Residuals, into gradients: inout InputGradients)
}

/// Which inputs of an operation need a gradient.
package struct GradientMask: Sendable, Equatable {
  private var bits: UInt64 = 0

  /// No input.
  package init() {}

  /// A mask with the given inputs set.
  package init(_ inputs: Int...) {
    for input in inputs { self[input] = true }
  }

  /// Whether `input` (below 64) needs a gradient.
  package subscript(input: Int) -> Bool {
    get { bits >> UInt64(input) & 1 == 1 }
    set { bits = newValue ? bits | 1 << UInt64(input) : bits & ~(1 << UInt64(input)) }
  }

  /// Whether no input needs one.
  package var isEmpty: Bool { bits == 0 }
}

/// Where a backward rule leaves its results. Slots may already hold the sum of other uses of the same input; rules
/// add to them in place.
package struct InputGradients {
  /// The inputs that need a gradient.
  package let needs: GradientMask
  /// Whether dy is the 1 from which backward starts: a loss need not multiply by it.
  package let startsFromOne: Bool
  package fileprivate(set) var slots: [Tensor?]

  /// Slots that may hold sums already.
  package init(needs: GradientMask, slots: [Tensor?], startsFromOne: Bool = false) {
    self.needs = needs
    self.slots = slots
    self.startsFromOne = startsFromOne
  }

  /// Takes slot `input` out, so that whoever gets it holds it alone.
  package mutating func take(_ input: Int) -> Tensor? { slots[input].take() }

  /// gradient(input) += dx. Nothing happens for an input that needs no gradient.
  package mutating func accumulate(_ input: Int, _ dx: @autoclosure () -> Tensor) {
    guard needs[input] else { return }
    if slots[input] == nil {
      slots[input] = dx()
    } else {
      let value = dx()
      slots[input]?.accumulate(value)
    }
  }

  /// gradient(input) += α·op(a)·op(b), in place where there is a sum already.
  ///
  /// The gradient of a weight is a sum over all tokens, and is kept in the accumulation type from the start.
  package mutating func accumulateMatmul(
    _ input: Int, _ a: Tensor, transposeA: Bool = false, _ b: Tensor, transposeB: Bool = false,
    alpha: Double = 1, ofWeight: Bool = false
  ) {
    guard needs[input] else { return }
    if slots[input] == nil {
      slots[input] = Tensor.matmul(
        a, transposeA: transposeA, b, transposeB: transposeB, alpha: alpha, accumulating: ofWeight)
    } else {
      slots[input]?.accumulateMatmul(
        a, transposeA: transposeA, b, transposeB: transposeB, alpha: alpha)
    }
  }

  /// gradient(input) += dy·W for a weight that is unpacked on the way, and the low-rank part; the gradient is of dy's type.
  package mutating func accumulateMatmul(
    _ input: Int, _ dy: Tensor, packed weight: PackedWeight, plus lowRank: LowRankTerm? = nil
  ) {
    guard needs[input] else { return }
    if slots[input] == nil {
      slots[input] = Tensor.matmul(dy, packed: weight, transposeWeight: false, plus: lowRank)
    } else {
      slots[input]?.accumulateMatmul(dy, packed: weight, transposeWeight: false, plus: lowRank)
    }
  }

  /// gradient(input) += dy·W for a weight in the type of dy or in a narrower one.
  package mutating func accumulateMatmul(_ input: Int, _ dy: Tensor, weight: Tensor) {
    if dy.dtype == weight.dtype {
      accumulateMatmul(input, dy, weight)
    } else {
      accumulateMatmul(input, dy, packed: .narrow(weight))
    }
  }

  /// gradient(input)[c] += Σ_n dy[n, c].
  package mutating func accumulateRows(_ input: Int, of dy: Tensor) {
    guard needs[input] else { return }
    if slots[input] == nil {
      slots[input] = dy.sumOfRows()
    } else {
      slots[input]?.accumulateRows(of: dy)
    }
  }

  /// gradient(table)[ids[n]] += dy[n] for a table of shape `shape`.
  package mutating func accumulateScattered(_ input: Int, dy: Tensor, ids: Tensor, shape: Shape) {
    guard needs[input] else { return }
    var gradient = slots[input].take() ?? Tensor.zeros(shape, like: dy)
    gradient.accumulateScattered(dy.cast(to: gradient.dtype), ids: ids)
    slots[input] = gradient
  }
}
