// Numbers on the host for oracles: a shape and Doubles. It is not a tensor library; it has no operations of its own.

package import Tensor

/// A dense row-major array of Doubles.
package struct HostArray: Sendable {
  package var shape: Shape
  package var elements: [Double]

  /// Traps when the number of elements is not that of the shape.
  package init(_ shape: Shape, _ elements: [Double]) {
    precondition(
      elements.count == shape.count, "host array: \(elements.count) values for shape \(shape)")
    self.shape = shape
    self.elements = elements
  }

  /// The values of a tensor of any type.
  package init(_ tensor: Tensor) throws(DeviceError) {
    self.init(tensor.shape, try tensor.doubles())
  }

  /// All elements equal `value`.
  package init(_ shape: Shape, repeating value: Double) {
    self.init(shape, [Double](repeating: value, count: shape.count))
  }

  package var count: Int { elements.count }
  package var rowCount: Int { shape.rowCount }
  package var columnCount: Int { shape.columnCount }

  package subscript(index: Int) -> Double {
    get { elements[index] }
    set { elements[index] = newValue }
  }

  /// Element `column` of row `row` of the array seen as [N, C].
  package subscript(row: Int, column: Int) -> Double {
    get { elements[row * columnCount + column] }
    set { elements[row * columnCount + column] = newValue }
  }

  /// The elements as indices.
  package var indices: [Int] { elements.map { Int($0) } }

  package func map(_ body: (Double) -> Double) -> HostArray {
    HostArray(shape, elements.map(body))
  }

  package func zip(_ other: HostArray, _ body: (Double, Double) -> Double) -> HostArray {
    precondition(count == other.count, "host array: \(shape) beside \(other.shape)")
    return HostArray(shape, (0..<count).map { body(elements[$0], other.elements[$0]) })
  }

  package func reshaped(_ shape: Shape) -> HostArray { HostArray(shape, elements) }
}
