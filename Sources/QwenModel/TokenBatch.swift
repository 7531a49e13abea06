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
  /// One more than the largest position.
  public let positionCount: Int

  /// The documents behind one another; traps when there is no token.
  public init(_ documents: [[Int32]], on device: Device = .cpu) {
    self.init(documents, firstPosition: 0, on: device)
  }

  /// Tokens that continue a cached document.
  package init(continuing ids: [Int32], from position: Int, on device: Device) {
    self.init([ids], firstPosition: position, on: device)
  }

  private init(_ documents: [[Int32]], firstPosition: Int, on device: Device) {
    let ids = documents.flatMap { $0 }
    precondition(!ids.isEmpty, "TokenBatch: no tokens")
    var offsets = [0]
    var positions: [Int32] = []
    for document in documents {
      positions += (0..<document.count).map { Int32(firstPosition + $0) }
      offsets.append(offsets[offsets.count - 1] + document.count)
    }
    self.ids = Tensor(ids, on: device)
    self.positions = Tensor(positions, on: device)
    self.documents = offsets
    positionCount = firstPosition + (documents.map(\.count).max() ?? 0)
  }

  /// Number of tokens N.
  public var count: Int { ids.count }
}
