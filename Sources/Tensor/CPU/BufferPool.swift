// Buffers by size class. A buffer that is given back waits for the next request of its class; the system sees memory
// again only when an allocation fails.

import Glibc
import Synchronization

/// A caching allocator for 64-byte aligned memory.
package final class BufferPool: Sendable {
  private struct State {
    var free: [Int: [UInt]] = [:]
    var statistics = MemoryStatistics()
  }
  private let state = Mutex(State())

  package init() {}

  /// Rounds up to the next class: eight classes for each power of two, at least 64 bytes.
  package static func sizeClass(_ byteCount: Int) -> Int {
    let size = max(byteCount, 64)
    let octave = Int.bitWidth - 1 - (size - 1).leadingZeroBitCount
    let step = max(64, 1 << max(octave - 3, 0))
    return (size + step - 1) / step * step
  }

  /// A buffer of at least `byteCount` bytes.
  package func allocate(byteCount: Int) -> Buffer {
    let size = BufferPool.sizeClass(byteCount)
    let reused: UInt? = state.withLock { state in
      state.statistics.liveByteCount += size
      state.statistics.peakByteCount = max(
        state.statistics.peakByteCount, state.statistics.liveByteCount)
      return state.free[size]?.popLast()
    }
    if let reused { return Buffer(address: reused, byteCount: size) }
    return Buffer(address: takeFromSystem(size), byteCount: size)
  }

  /// Gives a buffer back.
  package func release(_ buffer: Buffer) {
    state.withLock { state in
      state.statistics.liveByteCount -= buffer.byteCount
      state.free[buffer.byteCount, default: []].append(buffer.address)
    }
  }

  /// Returns all waiting buffers to the system.
  package func trim() {
    let unused = state.withLock { state in
      let addresses = state.free.flatMap { size, list in list.map { (size, $0) } }
      state.free = [:]
      state.statistics.reservedByteCount -= addresses.reduce(0) { $0 + $1.0 }
      return addresses.map(\.1)
    }
    for address in unused { free(UnsafeMutableRawPointer(bitPattern: address)) }
  }

  package var statistics: MemoryStatistics { state.withLock { $0.statistics } }

  package func resetPeak() {
    state.withLock { $0.statistics.peakByteCount = $0.statistics.liveByteCount }
  }

  private func takeFromSystem(_ size: Int) -> UInt {
    for attempt in 0..<2 {
      var pointer: UnsafeMutableRawPointer?
      if posix_memalign(&pointer, 64, size) == 0, let pointer {
        state.withLock { state in
          state.statistics.missCount += 1
          state.statistics.reservedByteCount += size
        }
        return UInt(bitPattern: pointer)
      }
      if attempt == 0 { trim() }
    }
    preconditionFailure("out of memory: the system has no \(size) bytes left for a tensor")
  }
}
