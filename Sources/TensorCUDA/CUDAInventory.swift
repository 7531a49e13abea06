// What this machine has for CUDA, and what is missing, in words that lead to a fix.

package import Tensor

/// The GPUs and the libraries that are found.
package struct CUDAInventory: Sendable {
  /// A GPU.
  package struct GPU: Sendable {
    /// "cuda:0".
    package let name: String
    /// The model.
    package let model: String
    /// "9.0".
    package let capability: String
    /// Bytes of memory.
    package let memoryByteCount: Int
  }

  /// The GPUs, empty where there is no driver.
  package private(set) var gpus: [GPU] = []
  /// "13.0", the newest CUDA that the driver knows; nil without a driver.
  package private(set) var driverVersion: String?
  /// Where NVRTC is and its version, nil where it is missing.
  package private(set) var nvrtc: String?
  /// Where cuBLASLt is and its version, nil where it is missing.
  package private(set) var blasLt: String?
  /// What keeps CUDA from working; nil where nothing does.
  package private(set) var problem: String?
  /// What works without it but is slower or starts later.
  package private(set) var remarks: [String] = []

  /// Looks at this machine.
  package static func current() -> CUDAInventory {
    var inventory = CUDAInventory()
    if let source = CUDALibrary.nvrtc.open(), let nvrtc = try? NVRTC(source) {
      inventory.nvrtc = "\(nvrtc.version) (\(source.name))"
    }
    if let source = CUDALibrary.blasLt.open(), let blas = try? BLASLt(source) {
      inventory.blasLt = "\(blas.version) (\(source.name))"
    }
    guard let source = CUDALibrary.driver.open() else {
      inventory.problem = "there is no libcuda.so.1: \(CUDALibrary.driver.hint)"
      return inventory
    }
    do throws(DeviceError) {
      try inventory.read(Driver(source))
    } catch {
      inventory.problem = "\(error)"
    }
    if inventory.problem == nil, inventory.nvrtc == nil {
      inventory.problem = "there is no NVRTC to compile the kernels with: \(CUDALibrary.nvrtc.hint)"
    }
    if inventory.problem == nil, inventory.blasLt == nil {
      inventory.remarks.append(
        "without cuBLASLt products are much slower: \(CUDALibrary.blasLt.hint)")
    }
    return inventory
  }

  /// Reads versions and GPUs from the driver.
  package mutating func read(_ driver: Driver) throws(DeviceError) {
    _ = try CUDAContext.device(driver, 0)
    var version: Int32 = 0
    try driver.check(driver.driverVersion(&version), "cuDriverGetVersion")
    driverVersion = "\(version / 1000).\(version % 1000 / 10)"
    var count: Int32 = 0
    try driver.check(driver.deviceCount(&count), "cuDeviceGetCount")
    for ordinal in 0..<count {
      let device = try CUDAContext.device(driver, Int(ordinal))
      var byteCount = 0
      try driver.check(driver.deviceMemory(&byteCount, device), "cuDeviceTotalMem")
      let major = try driver.attribute(.capabilityMajor, of: device)
      let minor = try driver.attribute(.capabilityMinor, of: device)
      gpus.append(
        GPU(
          name: "cuda:\(ordinal)", model: try CUDAContext.name(of: device, driver),
          capability: "\(major).\(minor)", memoryByteCount: byteCount))
    }
  }
}
