// The kernels of flash.cu for a head dim: their names, and how much they hold in shared memory. The numbers of rows are
// those of the kernels' instances.

/// The attention kernels on tensor cores for a head dim.
struct FlashSizes {
  /// Rows of a block.
  static let tile = 64

  /// Names of the kernels without a suffix.
  let forward, queryGradient, keyGradient: StaticString
  /// Keys that the forward kernel takes at a time, those that the kernel of dQ takes, and queries that of dK and dV takes.
  private let keys, gradientKeys, queries: Int
  /// Tiles that are under way or worked on.
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
      (keys, gradientKeys, queries) = (64, 64, 64)
      (stages, keyGradientThreads) = (2, 128)
    case 128:
      (forward, queryGradient, keyGradient) = ("flash_128", "flash_dq_128", "flash_dkv_128")
      (keys, gradientKeys, queries) = (64, 32, 32)
      (stages, keyGradientThreads) = (2, 128)
    case 256:
      (forward, queryGradient, keyGradient) = ("flash_256", "flash_dq_256", "flash_dkv_256")
      (keys, gradientKeys, queries) = (32, 32, 32)
      (stages, keyGradientThreads) = (1, 256)
    default: return nil
    }
    pitch = 2 * (headDim + 8)
  }

  /// Queries, keys and values.
  var forwardByteCount: Int { (Self.tile + 2 * keys) * pitch }
  /// Queries and their gradients, and stages of keys and values.
  var queryGradientByteCount: Int { (2 * Self.tile + 2 * stages * gradientKeys) * pitch }
  /// Keys and values, and stages of queries and their gradients with two numbers of each row.
  var keyGradientByteCount: Int {
    (2 * Self.tile + 2 * stages * queries) * pitch + stages * 2 * queries * 4
  }
  /// The most that one of the two kernels of the gradients needs.
  var backwardByteCount: Int { max(queryGradientByteCount, keyGradientByteCount) }
}
