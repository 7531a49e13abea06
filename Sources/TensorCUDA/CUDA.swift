// What the executable asks of this module: a device, or what is there and what is missing.

import Glibc

package import Tensor

/// The GPUs of this machine.
package enum CUDA {
  /// With the value "0" weights are unpacked in order with all else, to compare.
  private static let unpackVariable = "QWEN_SFT_CUDA_UNPACK_AHEAD"

  /// Opens GPU `ordinal`. Compiled kernels are kept in `cacheFolder` where there is one; `remark` is told what is missing and
  /// makes the device slower.
  ///
  /// The rest is for tests and comparisons: without `usesLibraries` NVRTC and cuBLASLt are as if they were missing; with `usesExactSizes`
  /// buffers are as long as asked for, so that a checker of memory notices what reads beyond them; `leastSaving` says from where on
  /// low-rank parts are joined to products.
  ///
  /// - Throws: ``DeviceError/unavailable(device:reason:)`` with what is missing and how to get it.
  package static func device(
    _ ordinal: Int, cacheFolder: String?, usesLibraries: Bool = true, usesExactSizes: Bool = false,
    leastSaving: Int = CUDABackend.leastSaving, remark: (String) -> Void = { _ in }
  ) throws(DeviceError) -> Device {
    let name = "cuda:\(ordinal)"
    guard let source = CUDALibrary.driver.open() else {
      throw .unavailable(
        device: name, reason: CUDALibrary.noDriver)
    }
    let driver = try Driver(source)
    let major = try driver.version() / 1000
    let libraries = CUDALibraries(driverMajor: major) {
      usesLibraries ? $0.open(upToMajor: major) : nil
    }
    let unpacksAhead = getenv(unpackVariable).map { String(cString: $0) } != "0"
    let backend = try CUDABackend(
      driver: driver, ordinal: ordinal, blas: libraries.blas, usesExactSizes: usesExactSizes,
      unpacksAhead: unpacksAhead, leastSaving: leastSaving
    ) {
      CompiledKernels(
        nvrtc: libraries.nvrtc, capability: $0.capability, driverMajor: major,
        cacheFolder: cacheFolder)
    }
    // The first kernel now: a machine that cannot compile says so before anything is loaded.
    let probe = Device(backend: backend, preferredComputeDType: .bfloat16)
    _ = try Tensor.full([1], 0, on: probe).array(of: Float.self)
    for text in libraries.remarks + backend.remarks { remark(text) }
    return probe
  }
}
