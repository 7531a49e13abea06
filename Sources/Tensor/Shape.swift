// Extents of a tensor, stored inline (no heap, no reference counting), outermost axis first.

/// The extents of a tensor, row-major, outermost first; at most eight axes.
public struct Shape: Sendable, Hashable, ExpressibleByArrayLiteral, CustomStringConvertible {
  /// Largest number of axes.
  public static let maximumRank = 8

  private var extents: SIMD8<Int>
  /// Number of axes; 0 for a scalar.
  public private(set) var rank: Int

  /// The shape with the given extents; traps on a negative extent or more than eight axes.
  public init(_ extents: some Collection<Int>) {
    precondition(extents.count <= Shape.maximumRank, "shape: more than 8 axes in \(Array(extents))")
    self.extents = SIMD8(repeating: 1)
    rank = 0
    for extent in extents {
      precondition(extent >= 0, "shape: negative extent in \(Array(extents))")
      self.extents[rank] = extent
      rank += 1
    }
  }

  /// The shape with the given extents.
  public init(arrayLiteral elements: Int...) { self.init(elements) }

  /// The extent of `axis`; negative axes count from the end.
  public subscript(axis: Int) -> Int {
    let index = axis < 0 ? axis + rank : axis
    precondition(index >= 0 && index < rank, "shape: axis \(axis) of a rank-\(rank) shape")
    return extents[index]
  }

  /// Number of elements: the product of the extents.
  public var count: Int {
    var product = 1
    for axis in 0..<rank { product *= extents[axis] }
    return product
  }

  /// The extents as an array.
  public var dimensions: [Int] { (0..<rank).map { extents[$0] } }

  /// Elements of all axes but the last: the rows of a [.., C] tensor. 1 for a vector or scalar.
  public var rowCount: Int {
    var product = 1
    for axis in 0..<max(rank - 1, 0) { product *= extents[axis] }
    return product
  }

  /// The last extent; 1 for a scalar.
  public var columnCount: Int { rank == 0 ? 1 : extents[rank - 1] }

  /// The same shape with the first extent replaced.
  public func replacingFirst(with extent: Int) -> Shape {
    precondition(rank > 0, "shape: a scalar has no first axis")
    var copy = self
    copy.extents[0] = extent
    return copy
  }

  /// The same shape with the last extent replaced.
  public func replacingLast(with extent: Int) -> Shape {
    precondition(rank > 0, "shape: a scalar has no last axis")
    var copy = self
    copy.extents[rank - 1] = extent
    return copy
  }

  /// Row-major strides in elements.
  package var strides: [Int] {
    var result = [Int](repeating: 1, count: rank)
    for axis in stride(from: rank - 2, through: 0, by: -1) {
      result[axis] = result[axis + 1] * extents[axis + 1]
    }
    return result
  }

  public var description: String {
    "[" + dimensions.map { String($0) }.joined(separator: ", ") + "]"
  }
}
