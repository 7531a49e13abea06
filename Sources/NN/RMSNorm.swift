// RMSNorm as a module.

public import Autograd
import Tensor

/// Root-mean-square normalisation over the last axis.  x [.., C] → like x
public final class RMSNorm: Module {
  /// [C].
  public let weight: Parameter
  /// Added to the mean square.
  public let epsilon: Double

  /// Declares the norm of `size` channels.
  public init(size: Int, epsilon: Double) {
    weight = Parameter(shape: [size])
    self.epsilon = epsilon
  }

  public var children: KeyValuePairs<String, any ModuleNode> { ["weight": weight] }

  /// x / √(mean(x²) + ε) ⊙ weight.  x [.., C] → like x
  public func callAsFunction(_ x: Variable) -> Variable {
    x.tape.record(RMSNormalize(epsilon: epsilon), [x, x.tape.leaf(weight)])
  }

  /// The rotated norm of every head.  x [N, H, D] → like x
  package func callAsFunction(_ x: Variable, rotatedBy rotation: Rotate) -> Variable {
    x.tape.record(
      NormalizeAndRotate(epsilon: epsilon, rotation: rotation), [x, x.tape.leaf(weight)])
  }
}
