// A tensor that a model owns: its value, its gradient, and whether training changes it.

public import Tensor

/// A named-by-position weight of a model. Declared by shape, materialised once by a checkpoint or an initialiser.
public final class Parameter {
  /// Extents, fixed at declaration.
  public let shape: Shape
  /// Whether training changes it. A frozen parameter never gets a gradient.
  public var isTrainable: Bool
  /// Σ of the gradients since the last `clearGradient()`, in the accumulation type of the value; nil before the first.
  public package(set) var gradient: Tensor?

  /// Counts the changes of the value: what was computed from the same version need not be computed again.
  package private(set) var version = 0

  private var storage: Tensor?
  /// The leaf that stands for this parameter on the tape that used it last.
  package var leaf: (tape: UInt64, node: Int32) = (0, -1)

  /// Declares a parameter without a value.
  public init(shape: Shape, isTrainable: Bool = true) {
    self.shape = shape
    self.isTrainable = isTrainable
  }

  /// Whether the parameter has a value.
  public var isMaterialized: Bool { storage != nil }

  /// The current value; traps before it is materialised. Assigning traps when the shape differs.
  public var value: Tensor {
    get {
      guard let storage else { preconditionFailure("parameter \(shape) has no value yet") }
      return storage
    }
    set {
      precondition(newValue.shape == shape, "parameter \(shape) cannot take \(newValue.shape)")
      storage = newValue
      version += 1
    }
  }

  /// Gives the value up, as before it was materialised.
  package func dematerialize() {
    storage = nil
    version += 1
  }

  /// Changes the value in place: while `body` runs, nobody else holds it unless a tape does.
  package func update(_ body: (inout Tensor) -> Void) {
    guard var value = storage.take() else {
      preconditionFailure("parameter \(shape) has no value yet")
    }
    body(&value)
    storage = value
    version += 1
  }

  /// Forgets the gradient.
  public func clearGradient() { gradient = nil }
}
