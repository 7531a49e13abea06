// What is being recorded on a device.

import Tensor

/// What is being recorded: where its memory comes from, and what will change from replay to replay.
///
/// Safety: a recorder is used on one thread, and so is this; it crosses none.
final class ActiveRecording: @unchecked Sendable {
  /// A list of tiles of a constant length, those behind the last one empty.
  struct List {
    let side: AttentionPlans.Key.Side
    let height: Int
    let tiles: AttentionPlans.Tiles
  }

  /// The documents for which lists have room, beside one more for each that was recorded.
  private static let roomForDocuments = 32

  private let backend: CUDABackend
  private let pools: RecorderPools
  private(set) var lists: [List] = []
  /// Tokens that attention sees; nil where there is none.
  private(set) var tokenCount: Int?
  private var advanceBuffer: Buffer?
  /// Where weights are unpacked by what is recorded.
  let unpackedWeights: UnpackedWeights

  init(_ backend: CUDABackend, _ pools: RecorderPools) {
    self.backend = backend
    self.pools = pools
    // What work that ran has read was written before.
    unpackedWeights = UnpackedWeights(
      backend.context, visible: backend.unpackedWeights.visibleWeights)
  }

  /// Memory that replays write over; nil where there is none left.
  func buffer(_ byteCount: Int) -> Buffer? {
    guard let buffer = pools.work.buffer(byteCount: byteCount) else { return nil }
    backend.recordedMemory.lend(buffer, from: pools.work)
    return buffer
  }

  /// Memory that is written before replays and never by them.
  private func inputBuffer(_ byteCount: Int) -> Buffer {
    if let buffer = pools.inputs.buffer(byteCount: byteCount) { return buffer }
    invalidate("with no memory left, the work")
    return Buffer(address: 0, byteCount: byteCount)
  }

  /// Where kernels read how much further streams of random numbers are used.
  var advance: UInt64 {
    if advanceBuffer == nil { advanceBuffer = inputBuffer(4) }
    return UInt64(advanceBuffer?.address ?? 0)
  }

  /// The same for replays; nil where no kernel reads it.
  var advanceWord: Buffer? { advanceBuffer }

  /// The list of a key, to be filled before each replay.
  func tiles(_ key: AttentionPlans.Key) -> AttentionPlans.Tiles {
    guard key.keyOffset == 0, tokenCount == nil || tokenCount == key.queryCount else {
      invalidate("attention over a cache, or of two lengths")
      return AttentionPlans.Tiles(buffer: Buffer(address: 0, byteCount: 0), count: 0)
    }
    tokenCount = key.queryCount
    if let known = lists.first(where: { $0.side == key.side && $0.height == key.height }) {
      return known.tiles
    }
    let documents = max(key.documents.count - 1, 0)
    let count = key.queryCount / key.height + documents + max(documents, Self.roomForDocuments)
    let tiles = AttentionPlans.Tiles(buffer: inputBuffer(12 * count), count: count)
    lists.append(List(side: key.side, height: key.height, tiles: tiles))
    return tiles
  }

  /// The error of a recording that does what cannot be recorded.
  func failure(_ what: String) -> DeviceError {
    .failed(call: "cuStreamBeginCapture", detail: "\(what) cannot be recorded")
  }

  /// Makes the recording void.
  func invalidate(_ what: String) { backend.context.fail(failure(what)) }

  /// Gives back what replays would have needed.
  func releaseBuffers() {
    for buffer in lists.map(\.tiles.buffer) + [advanceBuffer].compactMap({ $0 })
    where buffer.address != 0 {
      pools.inputs.release(buffer)
    }
  }
}
