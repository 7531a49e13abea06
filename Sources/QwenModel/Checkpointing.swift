// Which blocks are run again in backward. It changes memory and time and no result.

/// What the blocks of a forward pass keep for backward.
///
/// Backward begins at the last block, so the last ones are those that keep everything: what they keep is gone before a
/// block is run again.
public struct Checkpointing: Sendable, Hashable {
  /// What one block keeps.
  package enum BlockMemory: Sendable, Hashable {
    /// Everything: nothing is computed twice.
    case everything
    /// Its input and what its products and attention gave: what lies between them, a third of the memory, is computed twice.
    case products
    /// Its input and the state between attention and MLP: neither the projection behind attention nor that behind the MLP
    /// is computed twice, and one half's insides exist at a time.
    case halves
    /// Its input.
    case input
  }

  /// How many blocks, the last ones, keep everything.
  public var wholeBlockCount: Int
  /// How many blocks before those keep what is no small work to compute.
  public var productBlockCount: Int
  /// Whether the others keep the state between attention and MLP besides their input.
  public var keepsHalves: Bool

  /// The last `wholeBlockCount` blocks keep everything, `productBlockCount` before them their products.
  public init(wholeBlockCount: Int, productBlockCount: Int = 0, keepsHalves: Bool = false) {
    self.wholeBlockCount = wholeBlockCount
    self.productBlockCount = productBlockCount
    self.keepsHalves = keepsHalves
  }

  /// Every block keeps everything.
  public static let off = Checkpointing(wholeBlockCount: Int.max)
  /// Every block keeps its input alone.
  public static let full = Checkpointing(wholeBlockCount: 0)

  /// What block `index` of `count` keeps.
  package func memory(ofBlock index: Int, of count: Int) -> BlockMemory {
    let fromEnd = count - index
    if fromEnd <= wholeBlockCount { return .everything }
    if fromEnd - wholeBlockCount <= productBlockCount { return .products }
    return keepsHalves ? .halves : .input
  }
}
