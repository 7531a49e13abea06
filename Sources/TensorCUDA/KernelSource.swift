// The kernels' text and how it becomes code for a device.

import CUDAKernels
import Files

package import Tensor

/// A file of kernels.
package struct KernelFile: Sendable {
  /// Its name, such as "norm.cu".
  package let name: String
  /// Its text.
  package let text: String
  /// Its number among the files of the program.
  private let index: Int32

  /// PTX for compute capability 8.0 and later with the zero that ends it, as `cuModuleLoadData` takes it; nil where there is none.
  ///
  /// The driver compiles it, which takes seconds at the first start.
  package var portableImage: [UInt8]? {
    let file = cudaKernelFile(index)
    guard let start = file.portable else { return nil }
    let packed = Array(UnsafeRawBufferPointer(start: start, count: file.portableByteCount))
    return (try? Gzip.unpacked(packed, maximumByteCount: 1 << 26)).map { $0 + [0] }
  }

  /// All files but the prelude.
  package static let all: [KernelFile] = every.filter { $0.name != prelude.name }

  /// What every file begins with.
  package static let prelude: KernelFile =
    every.first { $0.name == "prelude.cuh" } ?? KernelFile(name: "prelude.cuh", text: "", index: -1)

  /// The file of a name without its ending.
  static func named(_ name: String) -> KernelFile? { all.first { $0.name == name + ".cu" } }

  private static let every: [KernelFile] = (0..<cudaKernelFileCount()).compactMap { index in
    let file = cudaKernelFile(index)
    guard let name = file.name, let text = file.text else { return nil }
    return KernelFile(name: String(cString: name), text: String(cString: text), index: index)
  }

  /// Compiles the file for an architecture such as "sm_90a" or "compute_90".
  package func compile(with nvrtc: NVRTC, architecture: String, reportsResources: Bool = false)
    throws(DeviceError) -> (image: [UInt8], log: String)
  {
    try nvrtc.compile(
      text, name: name, headers: [(KernelFile.prelude.name, KernelFile.prelude.text)],
      options: options(architecture, reportsResources: reportsResources),
      to: architecture.utf8.starts(with: "compute".utf8) ? .ptx : .cubin)
  }

  /// Options of the compiler. They leave arithmetic exact, without approximate division, roots or subnormals: kernels
  /// name those where they want them.
  func options(_ architecture: String, reportsResources: Bool) -> [String] {
    ["-arch=\(architecture)", "-std=c++17", "-default-device"]
      + (reportsResources ? ["--ptxas-options=-v"] : [])
  }
}

/// What gives the code of the kernels' files.
package protocol KernelImages: Sendable {
  /// The code of a file, as `cuModuleLoadData` takes it.
  func image(of file: KernelFile) throws(DeviceError) -> [UInt8]
}
