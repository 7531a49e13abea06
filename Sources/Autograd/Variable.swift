// A tensor on a tape. Work that is not differentiable is done on tensors; the type system keeps the two apart.

public import Tensor

/// A value that was computed on a tape.
public struct Variable {
  private enum Source {
    case computed(Tensor)
    case deferred(any DeferredTensor, shape: Shape, dtype: DType)
    case product(Tensor, place: Int, KeptProducts)
  }

  private let source: Source
  /// Where it was computed.
  public let tape: Tape
  /// Position on the tape; −1 for a constant.
  package let node: Int32

  /// A value at a place of a tape.
  package init(value: Tensor, tape: Tape, node: Int32) {
    source = .computed(value)
    self.tape = tape
    self.node = node
  }

  /// A value that is computed when it is first read.
  init(deferred: any DeferredTensor, shape: Shape, dtype: DType, tape: Tape, node: Int32) {
    source = .deferred(deferred, shape: shape, dtype: dtype)
    self.tape = tape
    self.node = node
  }

  /// A value that is kept at a place once it is read by an operation that is run again.
  init(value: Tensor, tape: Tape, keptAt place: Int, in products: KeptProducts) {
    source = .product(value, place: place, products)
    self.tape = tape
    node = -1
  }

  /// The value, for an operation that is run again.
  func read() -> Tensor {
    if case .product(let tensor, let place, let products) = source {
      products.keep([tensor], at: place)
    }
    return value
  }

  /// The number itself.
  public var value: Tensor {
    switch source {
    case .computed(let tensor), .product(let tensor, _, _): tensor
    case .deferred(let output, _, _): output.value
    }
  }

  /// Extents of the value.
  public var shape: Shape {
    switch source {
    case .computed(let tensor), .product(let tensor, _, _): tensor.shape
    case .deferred(_, let shape, _): shape
    }
  }

  /// Element type of the value.
  public var dtype: DType {
    switch source {
    case .computed(let tensor), .product(let tensor, _, _): tensor.dtype
    case .deferred(_, _, let dtype): dtype
    }
  }

  /// Whether anything behind the value needs its gradient.
  public var needsGradient: Bool { node >= 0 }
}
