// The kernels of flash.cu for a head dim: their names, and how much they hold in shared memory. The numbers of rows are
// those of the kernels' instances.

/// The attention kernels on tensor cores for a head dim.
struct FlashSizes {
  /// Keys of a block of the kernel of dK and dV.
  static let keyTile = 64

  /// Names of the kernels without a suffix.
  let forward, queryGradient, keyGradient: StaticString
  /// Queries of a block of the forward kernel and of that of dQ: 16 or 32 for each of four warps.
  let queryTile: Int
  /// Keys that the forward kernel takes at a time, those that the kernel of dQ takes, and queries that of dK and dV takes.
  private let keys, gradientKeys, queries: Int
  /// Tiles of queries that are under way or worked on.
  private let stages: Int
  /// Threads of a block of the kernel of dK and dV.
  let keyGradientThreads: Int
  /// Bytes from one row of a tile to the next.
  private let pitch: Int

  /// The kernels for 64, 128 and 256, nil for other head dims.
  init?(headDim: Int) {
    switch headDim {
    case 64:
      (forward, queryGradient, keyGradient) = ("flash_64", "flash_dq_64", "flash_dkv_64")
      (queryTile, keys, gradientKeys, queries) = (128, 64, 48, 64)
      (stages, keyGradientThreads) = (2, 128)
    case 128:
      (forward, queryGradient, keyGradient) = ("flash_128", "flash_dq_128", "flash_dkv_128")
      (queryTile, keys, gradientKeys, queries) = (128, 48, 32, 32)
      (stages, keyGradientThreads) = (2, 128)
    case 256:
      (forward, queryGradient, keyGradient) = ("flash_256", "flash_dq_256", "flash_dkv_256")
      (queryTile, keys, gradientKeys, queries) = (64, 32, 32, 32)
      (stages, keyGradientThreads) = (1, 256)
    default: return nil
    }
    pitch = 2 * (headDim + 8)
  }

  /// Queries, keys and values.
  var forwardByteCount: Int { (queryTile + 2 * keys) * pitch }
  /// Queries and their gradients, keys and values.
  var queryGradientByteCount: Int { (2 * queryTile + 2 * gradientKeys) * pitch }
  /// Keys and values, and stages of queries and their gradients with two numbers of each row.
  var keyGradientByteCount: Int {
    (2 * Self.keyTile + 2 * stages * queries) * pitch + stages * 2 * queries * 4
  }
  /// The most that one of the two kernels of the gradients needs.
  var backwardByteCount: Int { max(queryGradientByteCount, keyGradientByteCount) }
}
