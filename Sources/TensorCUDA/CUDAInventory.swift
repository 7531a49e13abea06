// What this machine has for CUDA, and what is missing, in words that lead to a fix.

import Tensor

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
    /// Why it cannot be used; nil where it can.
    package let shortcoming: String?
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
    CUDAInventory(driver: CUDALibrary.driver.open()) { CUDALibraries(driverMajor: $0) }
  }

  /// What a driver finds, nil where there is none, and the `libraries` for the newest CUDA it knows.
  package init(driver source: SymbolSource?, libraries: (_ driverMajor: Int?) -> CUDALibraries) {
    var major: Int?
    if let source {
      do throws(DeviceError) {
        let driver = try Driver(source)
        let version = try driver.version()
        major = version / 1000
        driverVersion = "\(version / 1000).\(version % 1000 / 10)"
        try readGPUs(driver)
        // The first is the one that is taken unless another is named.
        problem = gpus.first?.shortcoming
      } catch {
        problem = "\(error)"
      }
    } else {
      problem = CUDALibrary.noDriver
    }
    let libraries = libraries(major)
    nvrtc = libraries.nvrtc.map { "\($0.version) (\($0.source.name))" }
    blasLt = libraries.blas.map { "\($0.version) (\($0.source.name))" }
    guard problem == nil else { return }
    remarks = libraries.remarks
  }

  /// Reads the GPUs from the driver.
  private mutating func readGPUs(_ driver: Driver) throws(DeviceError) {
    _ = try CUDAContext.device(driver, 0)
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
          capability: "\(major).\(minor)", memoryByteCount: byteCount,
          shortcoming: try CUDAContext.shortcoming(of: device, driver)))
    }
  }
}
