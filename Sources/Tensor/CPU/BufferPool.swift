// Buffers by size class. A buffer that is given back waits for the next request of its class. What waits is bounded:
// the phases of a step, and data of ever-changing lengths, would otherwise leave a peak of their own in every class.
// Large buffers are mappings of their own, so that what is given back to the system is really gone.

import Glibc
import Synchronization

/// Where a pool takes its memory from.
package protocol MemorySource: Sendable {
  /// The size of the buffer that serves a request.
  func sizeClass(_ byteCount: Int) -> Int
  /// The address of `byteCount` bytes, in the processor's memory aligned to 64 and, from ``BufferPool/largeSize`` on, to a
  /// huge page; nil where there are none left.
  func take(_ byteCount: Int) -> UInt?
  /// Takes back what `take` gave.
  func give(_ address: UInt, byteCount: Int)
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
    /// What may be reserved while less is in use; nil where only the need says so.
    var limit: Int?
  }
  private let state = Mutex(State())
  private let source: any MemorySource
  /// Whether nothing is given back but by `trim`: its addresses are known elsewhere.
  private let growsOnly: Bool

  /// Bytes that may be reserved beyond the largest need.
  private static let slack = 64 << 20

  /// Size of a huge page, and from which size on buffers ask for them.
  static let hugePageSize = 2 << 20
  static let largeSize = 4 << 20

  /// An empty pool over the memory of `source`: the process's own unless told otherwise. One that only grows gives nothing back
  /// before it is told to.
  package init(source: any MemorySource = HeapMemory(), growsOnly: Bool = false) {
    self.source = source
    self.growsOnly = growsOnly
  }

  deinit { trim() }

  /// Rounds up to the next class: eight classes for each power of two, at least 64 bytes.
  package static func sizeClass(_ byteCount: Int) -> Int {
    let size = max(byteCount, 64)
    let octave = Int.bitWidth - 1 - (size - 1).leadingZeroBitCount
    let step = max(64, 1 << max(octave - 3, 0))
    return (size + step - 1) / step * step
  }

  /// A buffer of at least `byteCount` bytes; where the system has none left, ``MemoryExhaustion`` ends the process.
  package func allocate(byteCount: Int) -> Buffer {
    guard let buffer = buffer(byteCount: byteCount) else {
      MemoryExhaustion.end(wanting: byteCount)
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
      if growsOnly { break }
      if attempt == 0 { trim() }
    }
    state.withLock { state in
      state.statistics.liveByteCount -= size
      state.statistics.reservedByteCount -= size
    }
    return nil
  }

  /// A waiting buffer for a request of `size`, or nil and the buffers that have to go before one more is taken.
  private func take(_ size: Int, from state: inout State) -> (Buffer?, surplus: [Buffer]) {
    state.clock += 1
    state.shelves[size, default: Shelf()].lastUse = state.clock
    if let address = state.shelves[size]?.addresses.popLast() {
      count(size, in: &state)
      return (Buffer(address: address, byteCount: size), [])
    }
    if growsOnly { return (takeLarger(size, from: &state), []) }
    let need = max(state.need, state.statistics.liveByteCount + size)
    let limit = min(need + BufferPool.slack, state.limit ?? .max)
    if state.statistics.reservedByteCount + size > limit {
      // One up to twice as large serves as well, and costs nothing where there is room for its surplus.
      let room = min(2 * size, limit - state.statistics.liveByteCount)
      var larger = source.sizeClass(size + 1)
      while larger <= room {
        if let address = state.shelves[larger]?.addresses.popLast() {
          count(larger, in: &state)
          return (Buffer(address: address, byteCount: larger), [])
        }
        larger = source.sizeClass(larger + 1)
      }
    }
    // Else what has not been asked for longest goes.
    var surplus: [Buffer] = []
    while state.statistics.reservedByteCount + size > limit {
      let oldest = state.shelves.filter { !$1.addresses.isEmpty }.min {
        $0.value.lastUse < $1.value.lastUse
      }
      guard let oldest, let address = state.shelves[oldest.key]?.addresses.popLast() else { break }
      surplus.append(Buffer(address: address, byteCount: oldest.key))
      state.statistics.reservedByteCount -= oldest.key
    }
    state.statistics.missCount += 1
    state.statistics.reservedByteCount += size
    count(size, in: &state)
    return (nil, surplus)
  }

  /// The smallest waiting buffer that is larger than `size` and at most twice as large; nil where one more is to be taken.
  private func takeLarger(_ size: Int, from state: inout State) -> Buffer? {
    let larger = state.shelves.filter {
      $0.key > size && $0.key <= 2 * size && !$0.value.addresses.isEmpty
    }
    .keys.min()
    if let larger, let address = state.shelves[larger]?.addresses.popLast() {
      count(larger, in: &state)
      return Buffer(address: address, byteCount: larger)
    }
    state.statistics.missCount += 1
    state.statistics.reservedByteCount += size
    count(size, in: &state)
    return nil
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
      let buffers = state.shelves.flatMap { size, shelf in
        shelf.addresses.map { Buffer(address: $0, byteCount: size) }
      }
      state.shelves = [:]
      state.statistics.reservedByteCount -= buffers.reduce(0) { $0 + $1.byteCount }
      return buffers
    }
    give(unused)
  }

  /// Buffers that wait go where more than `byteCount` bytes would be reserved otherwise; nil lifts the limit.
  package func limit(to byteCount: Int?) {
    if byteCount != nil { trim() }
    state.withLock { $0.limit = byteCount }
  }

  /// Live, peak and reserved bytes, and how often the system was asked.
  package var statistics: MemoryStatistics { state.withLock { $0.statistics } }

  /// Makes the live bytes the new peak.
  package func resetPeak() {
    state.withLock { $0.statistics.peakByteCount = $0.statistics.liveByteCount }
  }

  /// Returns buffers to the system.
  private func give(_ buffers: [Buffer]) {
    for buffer in buffers { source.give(buffer.address, byteCount: buffer.byteCount) }
  }
}

/// The memory of this process.
package struct HeapMemory: MemorySource {
  /// The one that there is.
  package init() {}

  package func sizeClass(_ byteCount: Int) -> Int { BufferPool.sizeClass(byteCount) }

  package func take(_ byteCount: Int) -> UInt? {
    byteCount >= BufferPool.largeSize
      ? HeapMemory.mapped(byteCount) : HeapMemory.allocated(byteCount)
  }

  package func give(_ address: UInt, byteCount: Int) {
    let pointer = UnsafeMutableRawPointer(bitPattern: address)
    if byteCount >= BufferPool.largeSize {
      munmap(pointer, byteCount)
    } else {
      free(pointer)
    }
  }

  private static func allocated(_ size: Int) -> UInt? {
    var pointer: UnsafeMutableRawPointer?
    guard posix_memalign(&pointer, 64, size) == 0, let pointer else { return nil }
    return UInt(bitPattern: pointer)
  }

  /// A mapping that begins at a huge page: matrix products walk over megabytes, and pages of 4 KB would cost them a tenth
  /// in address translation.
  private static func mapped(_ size: Int) -> UInt? {
    let length = size + BufferPool.hugePageSize
    guard
      let start = mmap(
        nil, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
      start != MAP_FAILED
    else { return nil }
    // The ends beyond the aligned part go back at once. Sizes of large classes are whole pages.
    let head = -Int(bitPattern: start) & (BufferPool.hugePageSize - 1)
    if head > 0 { munmap(start, head) }
    let first = start + head
    munmap(first + size, length - head - size)
    madvise(first, size, MADV_HUGEPAGE)
    return UInt(bitPattern: first)
  }
}
