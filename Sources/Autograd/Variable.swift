// A tensor on a tape. Work that is not differentiable is done on tensors; the type system keeps the two apart.

public import Tensor

/// A value that was computed on a tape.
public struct Variable {
  /// The number itself.
  public let value: Tensor
  /// Where it was computed.
  public let tape: Tape
  /// Position on the tape; −1 for a constant.
  package let node: Int32

  /// A value at a place of a tape.
  package init(value: Tensor, tape: Tape, node: Int32) {
    self.value = value
    self.tape = tape
    self.node = node
  }

  /// Extents of the value.
  public var shape: Shape { value.shape }
  /// Whether anything behind the value needs its gradient.
  public var needsGradient: Bool { node >= 0 }
}
