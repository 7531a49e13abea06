// How the C library's allocator gives memory back to the system.

import Glibc

/// glibc raises the size from which on it maps memory by itself with every mapped block that is freed, up to 32 MB; smaller
/// blocks lie in a heap that shrinks at its end alone. A run that is held to a memory budget frees buffers of one size to
/// take others, and the system must get their pages back.
enum SystemAllocator {
  private static let variable = "MALLOC_MMAP_THRESHOLD_"
  /// Blocks of so many bytes and more are mapped, and unmapped when they are freed.
  private static let mappedByteCount = "262144"

  /// Sets the size, which keeps glibc from raising it; true where it takes effect with the next start of the program, since
  /// the library reads it before anything of the program runs. A choice the user made is left alone.
  static func returnFreedMemory() -> Bool {
    getenv(variable) == nil && setenv(variable, mappedByteCount, 1) == 0
  }
}
