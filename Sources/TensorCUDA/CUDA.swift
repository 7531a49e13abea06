// What the executable asks of this module: a device, or what is there and what is missing.

package import Tensor

/// The GPUs of this machine.
package enum CUDA {
  /// Opens GPU `ordinal`. Compiled kernels are kept in `cacheFolder` where there is one.
  ///
  /// - Throws: ``DeviceError/unavailable(device:reason:)`` with what is missing and how to get it.
  package static func device(_ ordinal: Int, cacheFolder: String?) throws(DeviceError) -> Device {
    let name = "cuda:\(ordinal)"
    guard let library = CUDALibrary.driver.open() else {
      throw .unavailable(
        device: name, reason: "there is no libcuda.so.1: \(CUDALibrary.driver.hint)")
    }
    let driver = try Driver(library)
    let nvrtc: NVRTC? = if let source = CUDALibrary.nvrtc.open() { try NVRTC(source) } else { nil }
    let blas: BLASLt? =
      if let source = CUDALibrary.blasLt.open() { try BLASLt(source) } else { nil }
    let backend = try CUDABackend(driver: driver, ordinal: ordinal, blas: blas) { context in
      CompiledKernels(nvrtc: nvrtc, capability: context.capability, cacheFolder: cacheFolder)
    }
    // The first kernel now: a machine that cannot compile says so before anything is loaded.
    let probe = Device(backend: backend, preferredComputeDType: .bfloat16)
    _ = try Tensor.full([1], 0, on: probe).array(of: Float.self)
    return probe
  }
}
