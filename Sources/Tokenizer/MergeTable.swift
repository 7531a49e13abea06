// The merges of byte-pair encoding: what a pair of tokens becomes and how early. It does not know
// words.

/// Merge rank and merged id by pair of ids.
struct MergeTable: Sendable {
  private struct Slot {
    var pair = UInt64.max
    var merge = UInt64.max
  }

  /// What `merge(_:_:)` answers for a pair that does not merge; greater than every merge.
  static let none = UInt64.max

  private var slots: [Slot]
  private var count = 0
  private let seed = UInt64.random(in: .min ... .max)

  /// An empty table with room for `capacity` merges.
  init(capacity: Int) {
    var slotCount = 16
    while slotCount * 10 < capacity * 16 { slotCount *= 2 }
    slots = [Slot](repeating: Slot(), count: slotCount)
  }

  /// Adds a merge; of a repeated pair the last one stays.
  mutating func insert(_ left: Int32, _ right: Int32, rank: UInt32, merged: Int32) {
    let pair = Self.pair(left, right)
    if slots[slot(of: pair)].pair == .max {
      count += 1
      if count * 10 > slots.count * 8 { grow() }
    }
    slots[slot(of: pair)] = Slot(
      pair: pair, merge: UInt64(rank) << 32 | UInt64(UInt32(bitPattern: merged)))
  }

  /// The merge of two neighbouring tokens, rank in the upper half and merged id in the lower, or
  /// `none`. The lesser value merges first.
  @inline(__always)
  func merge(_ left: Int32, _ right: Int32) -> UInt64 {
    slots[slot(of: Self.pair(left, right))].merge
  }

  /// The pairs that merge, the earliest first.
  var orderedPairs: [(left: Int32, right: Int32)] {
    slots.filter { $0.pair != .max }.sorted { $0.merge < $1.merge }.map {
      (
        Int32(truncatingIfNeeded: $0.pair >> 32), Int32(truncatingIfNeeded: $0.pair)
      )
    }
  }

  /// How early a merge is.
  @inline(__always)
  static func rank(_ merge: UInt64) -> UInt32 { UInt32(truncatingIfNeeded: merge >> 32) }

  /// The id that a merge makes.
  @inline(__always)
  static func mergedID(_ merge: UInt64) -> Int32 { Int32(truncatingIfNeeded: merge) }

  @inline(__always)
  private static func pair(_ left: Int32, _ right: Int32) -> UInt64 {
    UInt64(UInt32(bitPattern: left)) << 32 | UInt64(UInt32(bitPattern: right))
  }

  @inline(__always)
  private func slot(of pair: UInt64) -> Int {
    var hash = (pair ^ seed) &* 0x9E37_79B9_7F4A_7C15
    hash = (hash ^ hash >> 32) &* 0xD6E8_FEB8_6659_FD93
    let mask = slots.count - 1
    var index = Int(truncatingIfNeeded: hash >> 32) & mask
    while true {
      let found = slots[index].pair
      if found == pair || found == .max { return index }
      index = (index + 1) & mask
    }
  }

  private mutating func grow() {
    let old = slots
    slots = [Slot](repeating: Slot(), count: old.count * 2)
    for entry in old where entry.pair != .max { slots[slot(of: entry.pair)] = entry }
  }
}
