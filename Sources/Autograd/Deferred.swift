// Results that wait until somebody reads them. A block that is run again for its gradients ends in a product and a sum
// that nobody does: the next block has long been computed from them.

package import Tensor

/// An operation of which backward needs less than its output takes to compute.
///
/// Its output has the element type of input 0.
package protocol Deferrable: Primitive {
  /// Extents of the output.
  func outputShape(_ inputs: [Shape]) -> Shape
  /// What `forward` keeps, without the output. Reads the values of those inputs alone that it is made of.
  func residuals(_ inputs: [Variable], needs: GradientMask) -> Residuals
}

/// A tensor that is computed when it is first read.
protocol DeferredTensor: AnyObject {
  /// The tensor.
  var value: Tensor { get }
}

/// The output of an operation on a replaying tape. Variables hold it; the tape holds its residuals alone, so that an output
/// goes with its last reader.
final class DeferredOutput<P: Deferrable>: DeferredTensor {
  /// What the operation keeps for backward, computed with the output or without it.
  final class Residuals {
    private enum State {
      case waiting(inputs: [Variable])
      case kept(P.Residuals)
      case taken
    }

    private let primitive: P
    private let needs: GradientMask
    private var state: State

    /// Where the output is there already, inputs that backward does not need are let go at once.
    fileprivate init(
      _ primitive: P, _ inputs: [Variable], needs: GradientMask, isComputed: Bool
    ) {
      (self.primitive, self.needs) = (primitive, needs)
      state =
        isComputed
        ? .kept(primitive.residuals(inputs, needs: needs)) : .waiting(inputs: inputs)
    }

    /// The output, once.
    fileprivate func computeOutput() -> Tensor {
      guard case .waiting(let inputs) = state else {
        preconditionFailure("\(P.name): a deferred output was read after backward")
      }
      let (output, residuals) = primitive.forward(inputs.map(\.value), needs: needs)
      state = .kept(residuals)
      return output
    }

    /// The residuals, once.
    func take() -> P.Residuals {
      defer { state = .taken }
      switch state {
      case .waiting(let inputs): return primitive.residuals(inputs, needs: needs)
      case .kept(let residuals): return residuals
      case .taken: preconditionFailure("\(P.name): backward came twice")
      }
    }
  }

  /// For the tape.
  let residuals: Residuals
  private var output: Tensor?

  /// The output of `primitive` for `inputs`, not computed yet unless it is given.
  init(_ primitive: P, _ inputs: [Variable], needs: GradientMask, output: Tensor? = nil) {
    self.output = output
    residuals = Residuals(primitive, inputs, needs: needs, isComputed: output != nil)
  }

  var value: Tensor {
    if let output { return output }
    let computed = residuals.computeOutput()
    output = computed
    return computed
  }
}
