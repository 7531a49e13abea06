// The devices that tests run on. Besides the executable this is the only place that names them.

import CUDAEmulator
import Glibc

package import Tensor
package import TensorCUDA

/// Where operations are tested.
package enum TestDevices {
  /// Every device of this machine, and the emulated GPUs.
  package static let all: [Device] = [.cpu] + emulatedGPUs

  /// A stand-in for a GPU for each order of threads that the emulator knows: the real kernels on the processor.
  package static let emulatedGPUs: [Device] = (0..<Int(emulator_device_count())).compactMap {
    ordinal in
    do {
      return Device(backend: try emulatedGPU(ordinal), preferredComputeDType: .bfloat16)
    } catch {
      preconditionFailure("the emulated GPU does not start: \(error)")
    }
  }

  /// The devices of a name, opened anew: "cpu", "emulated" (the GPU's stand-ins), "emulated-plain" (these without cuBLASLt,
  /// so that products go to our own kernels) or a GPU such as "cuda" or "cuda:1".
  ///
  /// A GPU also opens as "cuda-plain", without NVRTC, what it has compiled before, and cuBLASLt, and as "cuda-exact", with buffers that end where their tensor does.
  /// Compiled kernels are kept in `cacheFolder`. From `leastSaving` on low-rank parts are joined to products, on the GPU's stand-ins wherever it saves
  /// anything unless something else is asked for. `remark` is told what a GPU lacks.
  package static func named(
    _ name: String, cacheFolder: String? = nil, leastSaving: Int? = nil,
    remark: (String) -> Void = { _ in }
  ) throws(DeviceError) -> [Device] {
    switch name {
    case "cpu": return [.cpu]
    case "emulated", "emulated-plain":
      var devices: [Device] = []
      for ordinal in 0..<Int(emulator_device_count()) {
        let backend = try emulatedGPU(
          ordinal, hasBLAS: name == "emulated", leastSaving: leastSaving ?? 1)
        devices.append(Device(backend: backend, preferredComputeDType: .bfloat16))
      }
      return devices
    default:
      let parts = name.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
      let kind = parts.first ?? ""
      guard ["cuda", "cuda-plain", "cuda-exact"].contains(kind),
        let ordinal = Int(parts.count > 1 ? parts[1] : "0"), ordinal >= 0
      else {
        throw .unavailable(
          device: name,
          reason: "expected cpu, emulated, emulated-plain, cuda, cuda:1, cuda-plain or cuda-exact")
      }
      let isPlain = kind == "cuda-plain"
      return [
        try CUDA.device(
          ordinal, cacheFolder: isPlain ? nil : cacheFolder, usesLibraries: !isPlain,
          usesExactSizes: kind == "cuda-exact",
          leastSaving: leastSaving ?? CUDABackend.leastSaving, remark: remark)
      ]
    }
  }

  /// Makes the instantiation of a graph fail after `calls` further ones by this thread; a negative number lets all succeed.
  package static func failInstantiation(_ calls: Int32) {
    emulator_fail("cuGraphInstantiateWithFlags", calls, 2)
  }

  /// A new emulated GPU with the order of threads `ordinal`. Low-rank parts are joined to products wherever it saves anything, so that small
  /// ones show whether that is right.
  package static func emulatedGPU(
    _ ordinal: Int, hasBLAS: Bool = true, unpacksAhead: Bool = true, leastSaving: Int = 1
  ) throws(DeviceError) -> CUDABackend {
    let blas: BLASLt? = hasBLAS ? try BLASLt(emulator) : nil
    return try CUDABackend(
      driver: Driver(emulator), ordinal: ordinal, blas: blas, usesExactSizes: true,
      unpacksAhead: unpacksAhead, leastSaving: leastSaving
    ) { _ in EmulatedImages() }
  }

  /// The functions of the stand-in: that of this program, or one in the shared library that `QWEN_SFT_CUDA_EMULATOR`
  /// names. Scripts/mutate-kernels gives the tests kernels with faults that way.
  package static let emulator: SymbolSource = {
    if let path = getenv("QWEN_SFT_CUDA_EMULATOR").map({ String(cString: $0) }) {
      guard let library = SymbolSource(opening: [path]),
        let symbol = try? library.function("emulator_symbol", as: Lookup.self)
      else { preconditionFailure("\(path) is no emulator") }
      return SymbolSource(name: path) { symbol($0).map { UInt(bitPattern: $0) } }
    }
    return SymbolSource(name: "the emulator") { emulator_symbol($0).map { UInt(bitPattern: $0) } }
  }()

  private typealias Lookup =
    @convention(c) @Sendable (UnsafePointer<CChar>) ->
    UnsafeMutableRawPointer?
}

/// The emulator has its kernels already.
private struct EmulatedImages: KernelImages {
  func image(of file: KernelFile) -> [UInt8] { [0] }
}
