// A direct-mapped cache from short words to their tokens. It belongs to one encoding run at a time
// and holds nothing that affects results.

/// The tokens of recently met words of at most 32 bytes and four tokens.
struct WordCache: Sendable {
  /// A word's bytes as numbers, zero-filled.
  typealias Key = SIMD4<UInt64>

  /// The most bytes of a word that is kept.
  static let maximumByteCount = 32
  /// The most tokens of a word that is kept.
  static let maximumTokenCount = 4

  /// What is kept of one word; one cache line.
  struct Entry: Sendable {
    /// The word.
    var key = Key()
    /// Its tokens, `count` of them.
    var ids = SIMD4<Int32>()
    /// Its length in bytes; 0 in a free entry.
    var byteCount: UInt8 = 0
    /// The number of its tokens.
    var count: UInt8 = 0
  }

  private static let entryCount = 1 << 14

  /// The entries by slot.
  private(set) var entries = [Entry](repeating: Entry(), count: entryCount)

  /// The key of a word of at most 32 bytes.
  @inline(__always)
  static func key(of bytes: [UInt8], _ range: Range<Int>) -> Key {
    var key = Key()
    var i = range.lowerBound
    var lane = 0
    while i < range.upperBound {
      let end = min(i + 8, range.upperBound)
      var value: UInt64 = 0
      var shift: UInt64 = 0
      while i < end {
        value |= UInt64(bytes[i]) &<< shift
        shift &+= 8
        i += 1
      }
      key[lane] = value
      lane += 1
    }
    return key
  }

  /// The slot of a key.
  @inline(__always)
  static func slot(of key: Key) -> Int {
    var hash = key[0] &* 0x9E37_79B9_7F4A_7C15
    hash = (hash ^ hash >> 29 ^ key[1]) &* 0xBF58_476D_1CE4_E5B9
    hash = (hash ^ hash >> 32 ^ key[2]) &* 0x94D0_49BB_1331_11EB
    hash = (hash ^ hash >> 30 ^ key[3]) &* 0xD6E8_FEB8_6659_FD93
    return Int(truncatingIfNeeded: hash >> 40) & (entryCount - 1)
  }

  /// Keeps a word's tokens in the slot of its key, in place of what was there.
  mutating func store(_ key: Key, slot: Int, byteCount: Int, ids: ArraySlice<Int32>) {
    guard ids.count <= Self.maximumTokenCount else { return }
    var entry = Entry(
      key: key, byteCount: UInt8(truncatingIfNeeded: byteCount),
      count: UInt8(truncatingIfNeeded: ids.count))
    for (lane, id) in ids.enumerated() { entry.ids[lane] = id }
    entries[slot] = entry
  }
}
