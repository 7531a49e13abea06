// The libraries beside the driver's: the device works without either, with kernels from the cache and products of its own.

import Tensor

/// The compiler of kernels and the matrix products for a driver, as far as they are there and work.
package struct CUDALibraries: Sendable {
  /// The compiler, nil where there is none that works.
  package let nvrtc: NVRTC?
  /// Matrix products, nil where there are none that work.
  package let blas: BLASLt?
  /// What is said about those that are missing, a line each, that of the compiler first.
  package let remarks: [String]

  /// Opens those for a driver that knows CUDA `driverMajor`, the newest there are without one.
  package init(driverMajor: Int?) {
    self.init(driverMajor: driverMajor) { $0.open(upToMajor: driverMajor ?? .max) }
  }

  /// Takes those that `open` gives. One that lacks a function is as one that is not there.
  package init(driverMajor: Int?, open: (CUDALibrary) -> SymbolSource?) {
    var remarks: [String] = []
    func library<L>(
      _ kind: CUDALibrary, without: String, _ make: (SymbolSource) throws(DeviceError) -> L
    ) -> L? {
      guard let source = open(kind) else {
        remarks.append("\(without): \(kind.hint(driverMajor: driverMajor))")
        return nil
      }
      do throws(DeviceError) {
        return try make(source)
      } catch {
        remarks.append("\(without): \(CUDALibraries.reason(error))")
        return nil
      }
    }
    nvrtc = library(
      .nvrtc,
      without: "without NVRTC the driver compiles portable kernels, which takes longer to start"
    ) { source throws(DeviceError) in try NVRTC(source) }
    blas = library(.blasLt, without: CUDALibraries.withoutProducts) {
      source throws(DeviceError) in try BLASLt(source)
    }
    self.remarks = remarks
  }

  /// What the absence of cuBLASLt means.
  static let withoutProducts = "without cuBLASLt products are much slower"

  /// What is wrong, without the name of the device.
  static func reason(_ error: DeviceError) -> String {
    if case .unavailable(_, let reason) = error { reason } else { "\(error)" }
  }
}
