// Compiled kernels: from the cache, or from the compiler and then into the cache, or as portable text for the driver.

import Files

package import Tensor

/// Kernels that NVRTC compiles for the device at hand. What it made once is kept in a folder, under a name that says what
/// it was made from, so that the next start takes milliseconds.
package struct CompiledKernels: KernelImages {
  private let nvrtc: NVRTC?
  private let architecture: String
  private let folder: String?
  private let driverMajor: Int?

  /// Kernels for a device of compute capability `capability` (90 for 9.0), kept in `folder` where there is one; `driverMajor`
  /// is the newest CUDA that the driver knows.
  ///
  /// A compiler that is older than the device makes the portable form for the newest architecture it knows.
  package init(
    nvrtc: NVRTC?, capability: Int, driverMajor: Int? = nil, cacheFolder folder: String?
  ) {
    self.driverMajor = driverMajor
    self.nvrtc = nvrtc
    self.folder = folder
    if let known = nvrtc?.architectures, !known.isEmpty, !known.contains(capability) {
      architecture = "compute_\(known.last { $0 <= capability } ?? capability)"
    } else {
      architecture = "sm_\(capability)" + (capability == 90 ? "a" : "")
    }
  }

  package func image(of file: KernelFile) throws(DeviceError) -> [UInt8] {
    if let image = cachedImage(of: file) { return image }
    guard let nvrtc else {
      if let image = file.portableImage { return image }
      throw .unavailable(
        device: "cuda",
        reason:
          "there is no NVRTC to compile the kernels with: \(CUDALibrary.nvrtc.hint(driverMajor: driverMajor))"
      )
    }
    let image = try file.compile(with: nvrtc, architecture: architecture).image
    // A cache that cannot be written costs time at the next start and nothing else.
    if let folder {
      try? FileSystem.makeFolder(folder)
      try? AtomicFile.write(
        image, to: FileSystem.join(folder, stem(of: file) + nvrtc.version + ".cubin"))
    }
    return image
  }

  /// What was compiled before from the same text: by this compiler, or where there is none by any.
  private func cachedImage(of file: KernelFile) -> [UInt8]? {
    guard let folder else { return nil }
    let stem = stem(of: file)
    let names =
      nvrtc.map { ["\(stem)\($0.version).cubin"] }
      ?? ((try? FileSystem.list(folder)) ?? []).map(\.name).filter {
        $0.utf8.starts(with: stem.utf8)
      }
    for name in names {
      // An unreadable or a cut-off file is compiled again.
      if let bytes = try? FileSystem.readFile(
        FileSystem.join(folder, name), maximumByteCount: 64 << 20), bytes.count > 64, isImage(bytes)
      {
        return bytes
      }
    }
    return nil
  }

  /// ELF, or the text of PTX with the zero that ends it.
  private func isImage(_ bytes: [UInt8]) -> Bool {
    bytes.starts(with: [0x7F, 0x45, 0x4C, 0x46])
      || (architecture.utf8.first == 0x63 && bytes.last == 0)
  }

  /// The beginning of a name, which tells texts, architectures and options apart.
  private func stem(of file: KernelFile) -> String {
    let parts =
      [file.text, KernelFile.prelude.text]
      + file.options(architecture, reportsResources: false)
    let name = String(decoding: file.name.utf8.dropLast(3), as: UTF8.self)
    return "\(name)-\(architecture)-\(digest(parts))-"
  }

  /// Two 64-bit FNV-1a sums with different beginnings, in hexadecimal: names for files that nobody forges, since whoever
  /// can write the folder can write the program.
  private func digest(_ parts: [String]) -> String {
    var (a, b): (UInt64, UInt64) = (0xCBF2_9CE4_8422_2325, 0x9AE1_6A3B_2F90_404F)
    for part in parts {
      for byte in part.utf8 {
        a = (a ^ UInt64(byte)) &* 0x100_0000_01B3
        b = (b ^ UInt64(byte)) &* 0x100_0000_01B3
      }
      a = (a ^ 0xFF) &* 0x100_0000_01B3
      b = (b ^ 0xFE) &* 0x100_0000_01B3
    }
    return hexadecimal(a) + hexadecimal(b)
  }

  private func hexadecimal(_ value: UInt64) -> String {
    let digits = String(value, radix: 16)
    return String(repeating: "0", count: 16 - digits.utf8.count) + digits
  }
}
