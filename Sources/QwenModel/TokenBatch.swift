// The tokens of one forward pass: rows of a batch behind one another, never padded.

public import Tensor

/// Tokens of one or more documents, concatenated. Each document attends only to itself, and its positions start at 0
/// (or where its cache ends).
public struct TokenBatch: Sendable {
  /// int32 [N].
  public let ids: Tensor
  /// int32 [N]: index of each token in its document.
  public let positions: Tensor
  /// Cumulative token offsets of the documents, [0, …, N].
  public let documents: [Int]
  /// One more than the largest position, or more: angles are made for so many.
  public let positionCount: Int

  /// The documents behind one another; traps when there is no token.
  public init(_ documents: [[Int32]], on device: Device = .cpu) {
    self.init(continuing: documents, from: documents.map { _ in 0 }, on: device)
  }

  /// The documents behind one another, with angles made for positions up to `positionCount`; traps when there is no token.
  package init(_ documents: [[Int32]], positionCount: Int, on device: Device) {
    self.init(
      continuing: documents, from: documents.map { _ in 0 }, positionCount: positionCount,
      on: device)
  }

  /// Tokens that continue cached documents, the first of each at its place of `firstPositions`.
  package init(
    continuing documents: [[Int32]], from firstPositions: [Int], positionCount: Int = 0,
    on device: Device
  ) {
    precondition(
      documents.count == firstPositions.count,
      "TokenBatch: \(documents.count) documents, \(firstPositions.count) positions")
    let ids = documents.flatMap { $0 }
    precondition(!ids.isEmpty, "TokenBatch: no tokens")
    var offsets = [0]
    var positions: [Int32] = []
    positions.reserveCapacity(ids.count)
    for (document, first) in zip(documents, firstPositions) {
      positions += document.indices.map { Int32(first + $0) }
      offsets.append(offsets[offsets.count - 1] + document.count)
    }
    self.ids = Tensor(ids, on: device)
    self.positions = Tensor(positions, on: device)
    self.documents = offsets
    self.positionCount = max(
      positionCount, zip(documents, firstPositions).map { $0.count + $1 }.max() ?? 0)
  }

  /// Number of tokens N.
  public var count: Int { ids.count }
}
