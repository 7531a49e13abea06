// Sums, products and scaling.

public import Tensor

/// y = a + b.  a, b → y of the same shape
package struct Add: Primitive, Deferrable {
  package static let name = "add"
  /// The operation; it has no parameters.
  package init() {}

  package func forward(_ x: [Tensor], needs: GradientMask) -> (output: Tensor, residuals: Void) {
    (x[0] + x[1], ())
  }

  package func outputShape(_ x: [Shape]) -> Shape { x[0] }

  package func residuals(_ x: [Variable], needs: GradientMask) {}

  /// da = dy, db = dy
  package func backward(_ dy: Tensor, _ residuals: Void, into gradients: inout InputGradients) {
    gradients.accumulate(0, dy)
    gradients.accumulate(1, dy)
  }
}

/// y = a ⊙ b.  a, b → y of the same shape. Keeps both.
package struct Multiply: Primitive {
  package static let name = "multiply"
  /// The operation; it has no parameters.
  package init() {}

  package func forward(_ x: [Tensor], needs: GradientMask) -> (output: Tensor, residuals: [Tensor])
  {
    (x[0] * x[1], x)
  }

  /// da = dy ⊙ b, db = dy ⊙ a
  package func backward(_ dy: Tensor, _ x: [Tensor], into gradients: inout InputGradients) {
    gradients.accumulate(0, dy * x[1])
    gradients.accumulate(1, dy * x[0])
  }
}

/// y = α·x.
package struct Scale: Primitive {
  package static let name = "scale"
  let factor: Double
  /// Multiplication by `factor`.
  package init(by factor: Double) { self.factor = factor }

  package func forward(_ x: [Tensor], needs: GradientMask) -> (output: Tensor, residuals: Void) {
    (x[0].scaled(by: factor), ())
  }

  /// dx = α·dy
  package func backward(_ dy: Tensor, _ residuals: Void, into gradients: inout InputGradients) {
    gradients.accumulate(0, dy.scaled(by: factor))
  }
}

/// The same elements under another shape.
package struct Reshape: Primitive {
  package static let name = "reshape"
  let shape: Shape
  /// The same elements as `shape`.
  package init(to shape: Shape) { self.shape = shape }

  package func forward(_ x: [Tensor], needs: GradientMask) -> (output: Tensor, residuals: Shape) {
    (x[0].reshaped(shape), x[0].shape)
  }

  /// dx = dy in the old shape
  package func backward(_ dy: Tensor, _ old: Shape, into gradients: inout InputGradients) {
    gradients.accumulate(0, dy.reshaped(old))
  }
}

extension Variable {
  /// Elementwise sum.
  public static func + (a: Variable, b: Variable) -> Variable { a.tape.record(Add(), [a, b]) }
  /// Elementwise product.
  public static func * (a: Variable, b: Variable) -> Variable { a.tape.record(Multiply(), [a, b]) }
  /// α·x.
  public func scaled(by factor: Double) -> Variable { tape.record(Scale(by: factor), [self]) }
  /// The same elements under another shape.
  public func reshaped(_ shape: Shape) -> Variable { tape.record(Reshape(to: shape), [self]) }
}
