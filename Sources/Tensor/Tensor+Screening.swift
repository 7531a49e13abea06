// Finding rows with large products.

extension Tensor {
  /// A screen of this matrix [V, C]; nil where nothing would be gained by one, or not all of it is finite.
  package func rowScreen() -> (any RowScreen)? {
    precondition(shape.rank == 2, "rowScreen: \(shape) is no matrix")
    return launch(self) { backend.makeScreen(operand, rows: rowCount, columns: columnCount) }
  }
}

extension RowScreen {
  /// As ``candidates(_:rows:count:)`` for the rows of x [m, C].
  package func candidates(for x: Tensor, count: Int) -> [[Int32]]? {
    launch(x) { candidates(x.operand, rows: x.rowCount, count: count) }
  }
}
