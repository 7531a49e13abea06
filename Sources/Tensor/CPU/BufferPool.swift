// Buffers by size class. A buffer that is given back waits for the next request of its class. What waits is bounded:
// data of ever-changing lengths would otherwise leave a peak of its own in every class.

import Glibc
import Synchronization

/// Where a pool takes its memory from.
package protocol MemorySource: Sendable {
  /// The size of the buffer that serves a request.
  func sizeClass(_ byteCount: Int) -> Int
  /// The address of fresh memory of a size, aligned to 64 bytes; nil where there is none left.
  func take(_ byteCount: Int) -> UInt?
  /// Gives memory back.
  func give(_ address: UInt)
}

/// A caching allocator.
package final class BufferPool: Sendable {
  /// Buffers of one class that wait.
  private struct Shelf {
    var addresses: [UInt] = []
    /// When a buffer of the class was last asked for.
    var lastUse = 0
  }
  private struct State {
    var shelves: [Int: Shelf] = [:]
    var statistics = MemoryStatistics()
    var clock = 0
    /// The largest number of live bytes there has been; unlike the statistics' peak it is never reset.
    var need = 0
  }
  private let state = Mutex(State())

  /// Bytes that may be reserved beyond one and a half times the largest need.
  private static let slack = 64 << 20

  private let source: any MemorySource

  /// An empty pool.
  package init(source: any MemorySource = HostMemory()) { self.source = source }

  /// Rounds up to the next class: eight classes for each power of two, at least 64 bytes.
  package static func sizeClass(_ byteCount: Int) -> Int {
    let size = max(byteCount, 64)
    let octave = Int.bitWidth - 1 - (size - 1).leadingZeroBitCount
    let step = max(64, 1 << max(octave - 3, 0))
    return (size + step - 1) / step * step
  }

  /// A buffer of at least `byteCount` bytes; traps where the system has none left.
  package func allocate(byteCount: Int) -> Buffer {
    guard let buffer = buffer(byteCount: byteCount) else {
      preconditionFailure("out of memory: the system has no \(byteCount) bytes left for a tensor")
    }
    return buffer
  }

  /// A buffer of at least `byteCount` bytes, nil where the system has none left even when all that waits is given back.
  package func buffer(byteCount: Int) -> Buffer? {
    let size = source.sizeClass(byteCount)
    let (reused, surplus) = state.withLock { state in take(size, from: &state) }
    give(surplus)
    if let reused { return reused }
    for attempt in 0..<2 {
      if let address = source.take(size) { return Buffer(address: address, byteCount: size) }
      if attempt == 0 { trim() }
    }
    state.withLock { state in
      state.statistics.liveByteCount -= size
      state.statistics.reservedByteCount -= size
    }
    return nil
  }

  /// A waiting buffer for a request of `size`, or nil and the buffers that have to go before one more is taken.
  private func take(_ size: Int, from state: inout State) -> (Buffer?, surplus: [UInt]) {
    state.clock += 1
    state.shelves[size, default: Shelf()].lastUse = state.clock
    if let address = state.shelves[size]?.addresses.popLast() {
      count(size, in: &state)
      return (Buffer(address: address, byteCount: size), [])
    }
    let need = max(state.need, state.statistics.liveByteCount + size)
    let limit = need + need / 2 + BufferPool.slack
    if state.statistics.reservedByteCount + size > limit {
      // One up to twice as large serves as well, and costs nothing.
      var larger = source.sizeClass(size + 1)
      while larger <= 2 * size {
        if let address = state.shelves[larger]?.addresses.popLast() {
          count(larger, in: &state)
          return (Buffer(address: address, byteCount: larger), [])
        }
        larger = source.sizeClass(larger + 1)
      }
    }
    // Else what has not been asked for longest goes.
    var surplus: [UInt] = []
    while state.statistics.reservedByteCount + size > limit {
      let oldest = state.shelves.filter { !$1.addresses.isEmpty }.min {
        $0.value.lastUse < $1.value.lastUse
      }
      guard let oldest, let address = state.shelves[oldest.key]?.addresses.popLast() else { break }
      surplus.append(address)
      state.statistics.reservedByteCount -= oldest.key
    }
    state.statistics.missCount += 1
    state.statistics.reservedByteCount += size
    count(size, in: &state)
    return (nil, surplus)
  }

  /// Counts `size` bytes as live.
  private func count(_ size: Int, in state: inout State) {
    state.statistics.liveByteCount += size
    state.statistics.peakByteCount = max(
      state.statistics.peakByteCount, state.statistics.liveByteCount)
    state.need = max(state.need, state.statistics.liveByteCount)
  }

  /// Gives a buffer back.
  package func release(_ buffer: Buffer) {
    state.withLock { state in
      state.statistics.liveByteCount -= buffer.byteCount
      state.shelves[buffer.byteCount, default: Shelf()].addresses.append(buffer.address)
    }
  }

  /// Returns all waiting buffers to the system.
  package func trim() {
    let unused = state.withLock { state in
      let addresses = state.shelves.flatMap { size, shelf in shelf.addresses.map { (size, $0) } }
      state.shelves = [:]
      state.statistics.reservedByteCount -= addresses.reduce(0) { $0 + $1.0 }
      return addresses.map(\.1)
    }
    give(unused)
  }

  /// Live, peak and reserved bytes, and how often the system was asked.
  package var statistics: MemoryStatistics { state.withLock { $0.statistics } }

  /// Makes the live bytes the new peak.
  package func resetPeak() {
    state.withLock { $0.statistics.peakByteCount = $0.statistics.liveByteCount }
  }

  /// Returns buffers to the system.
  private func give(_ addresses: [UInt]) {
    for address in addresses { source.give(address) }
  }
}

/// The memory of the process.
package struct HostMemory: MemorySource {
  /// Size of a huge page, and from which size on buffers ask for them.
  private static let hugePageSize = 2 << 20
  private static let largeSize = 4 << 20

  /// The memory that there is.
  package init() {}

  package func sizeClass(_ byteCount: Int) -> Int { BufferPool.sizeClass(byteCount) }

  package func take(_ byteCount: Int) -> UInt? {
    var pointer: UnsafeMutableRawPointer?
    let isLarge = byteCount >= HostMemory.largeSize
    guard posix_memalign(&pointer, isLarge ? HostMemory.hugePageSize : 64, byteCount) == 0,
      let pointer
    else { return nil }
    // Matrix products walk over megabytes: pages of 4 KB would cost them a tenth in address translation.
    if isLarge { madvise(pointer, byteCount, MADV_HUGEPAGE) }
    return UInt(bitPattern: pointer)
  }

  package func give(_ address: UInt) { free(UnsafeMutableRawPointer(bitPattern: address)) }
}
