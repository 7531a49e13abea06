// The processor as a backend: kernels in C for matrix products and the hottest rest, oneDNN and OpenBLAS where they multiply faster, plain
// Swift SIMD for all else.
// The kernels are in the CPU+….swift files, one for each protocol of Backend.swift.

/// Kernels on the processor. There is one instance: its pool is the process's tensor memory.
package final class CPUBackend: Backend {
  /// The one there is: a process has one pool.
  package static let shared = CPUBackend()

  /// The name of the device.
  package let name = "cpu"
  let pool = BufferPool()

  private init() { OpenBLAS.configure() }

  /// Bytes that the threads of kernels keep beside the pool.
  package static var threadByteCount: Int { BlockedProduct.residentByteCount }

  /// Elements handled by one task of an elementwise kernel.
  static let elementwiseGrain = 32_768

  /// Rows handled by one task of a kernel that works on rows of `columns` elements.
  static func rowGrain(columns: Int) -> Int { max(1, elementwiseGrain / max(columns, 1)) }
}

extension CPUBackend: RecordingKernels {
  package func makeRecorder() -> (any WorkRecorder)? { nil }
}
