// Which rows an attention kernel's blocks take, as numbers in the device's memory. A batch uses the same ones in every
// layer, forward and backward, so the last few are kept.

import Synchronization
import Tensor

/// The lists of tiles that kernels read.
final class AttentionPlans: Sendable {
  /// What a list is for.
  struct Key: Hashable {
    /// Whether the tiles are of query rows or of keys.
    enum Side: Hashable { case queries, keys }
    let side: Side
    /// Rows of a tile.
    let height: Int
    let documents: [Int]
    let keyOffset, queryCount: Int

    /// The list of whole documents from their first token on.
    init(_ side: Side, height: Int, documents: [Int]) {
      self.side = side
      self.height = height
      self.documents = documents
      (keyOffset, queryCount) = (0, documents.last ?? 0)
    }

    init(_ side: Side, height: Int, _ shape: AttentionShape) {
      self.side = side
      self.height = height
      queryCount = shape.queryCount
      let isContinued = shape.documentOffsets == [0, shape.keyOffset + shape.queryCount]
      if side == .queries, isContinued {
        // The same list however long the document has become, so that decoding makes no new one with every token.
        (documents, keyOffset) = ([0, shape.queryCount], 0)
      } else {
        (documents, keyOffset) = (shape.documentOffsets, shape.keyOffset)
      }
    }
  }

  /// A list in the device's memory.
  struct Tiles {
    let buffer: Buffer
    let count: Int
  }

  /// How many lists are kept.
  private static let limit = 16

  private let tiles = Mutex<[Key: Tiles]>([:])

  /// The list of a key: three int32 a tile.
  ///
  /// For queries: first row, last row + 1, first key of the document. For keys: first key, last key + 1, and the end of the
  /// document's queries. Tiles with the most work come first, so that no long one is left alone at the end.
  func tiles(_ key: Key, on backend: CUDABackend) -> Tiles {
    if let recording = backend.recording { return recording.tiles(key) }
    if let known = tiles.withLock({ $0[key] }) { return known }
    let numbers = AttentionPlans.numbers(key)
    let buffer = backend.allocate(byteCount: max(numbers.count, 1) * 4)
    numbers.withUnsafeBytes { backend.copyIn($0, to: buffer, byteOffset: 0) }
    let made = Tiles(buffer: buffer, count: numbers.count / 3)
    // The stream orders the reuse of what goes.
    let surplus = tiles.withLock { tiles -> [Buffer] in
      let surplus = tiles.count >= Self.limit ? tiles.values.map(\.buffer) : []
      if !surplus.isEmpty { tiles.removeAll() }
      tiles[key] = made
      return surplus
    }
    for buffer in surplus { backend.release(buffer) }
    return made
  }

  /// Forgets all lists and returns their memory.
  func removeAll() -> [Buffer] {
    tiles.withLock { tiles in
      defer { tiles = [:] }
      return tiles.values.map(\.buffer)
    }
  }

  /// The list of a key as kernels read it.
  static func numbers(_ key: Key) -> [Int32] {
    list(key).flatMap { [Int32($0.first), Int32($0.end), Int32($0.bound)] }
  }

  private static func list(_ key: Key) -> [(first: Int, end: Int, bound: Int)] {
    var list: [(first: Int, end: Int, bound: Int)] = []
    for (begin, end) in zip(key.documents, key.documents.dropFirst()) {
      switch key.side {
      case .queries:
        let last = min(end - key.keyOffset, key.queryCount)
        for row in stride(from: max(begin - key.keyOffset, 0), to: last, by: key.height) {
          list.append((first: row, end: min(row + key.height, last), bound: begin))
        }
      case .keys:
        for row in stride(from: begin, to: end, by: key.height) {
          list.append((first: row, end: min(row + key.height, end), bound: end))
        }
      }
    }
    let work = { (tile: (first: Int, end: Int, bound: Int)) in
      key.side == .queries ? tile.end + key.keyOffset - tile.bound : tile.bound - tile.first
    }
    return list.sorted { work($0) > work($1) }
  }
}
