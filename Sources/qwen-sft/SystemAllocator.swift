// How the C library's allocator gives memory back to the system.

import Glibc

/// glibc raises the size from which on it maps memory by itself with every mapped block that is freed, up to 32 MB; smaller
/// blocks lie in a heap that shrinks at its end alone. A run that is held to a memory budget frees buffers of one size to
/// take others, and the system must get their pages back.
enum SystemAllocator {
  /// Blocks of so many bytes and more are mapped, and unmapped when they are freed.
  private static let mappedByteCount: Int32 = 1 << 18

  /// Sets the size once and for all, which keeps glibc from raising it.
  static func returnFreedMemory() { mallopt(M_MMAP_THRESHOLD, mappedByteCount) }
}
