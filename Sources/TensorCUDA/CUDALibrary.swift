// The libraries of NVIDIA's that the device uses, and where they are looked for.

import Files
import Glibc

/// A library of NVIDIA's, opened at run time.
package enum CUDALibrary: CaseIterable, Sendable {
  /// The driver's, which comes with the driver.
  case driver
  /// The compiler of kernels.
  case nvrtc
  /// Matrix products.
  case blasLt

  /// Its file names, the best first.
  var fileNames: [String] {
    switch self {
    case .driver: ["libcuda.so.1"]
    case .nvrtc: ["libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so"]
    case .blasLt: ["libcublasLt.so.13", "libcublasLt.so.12", "libcublasLt.so"]
    }
  }

  /// What gets it.
  package var hint: String {
    switch self {
    case .driver:
      "install NVIDIA's driver, of which nvidia-smi shows whether it works"
    case .nvrtc:
      "install the CUDA toolkit, or: pip install nvidia-cuda-nvrtc; name its folder in \(CUDALibrary.folderVariable) if it is an unusual one"
    case .blasLt:
      "install the CUDA toolkit, or: pip install nvidia-cublas; name its folder in \(CUDALibrary.folderVariable) if it is an unusual one"
    }
  }

  /// The environment variable that names more folders, separated by colons; they are searched first.
  package static let folderVariable = "QWEN_SFT_CUDA_LIBRARIES"

  /// Opens the library, nil where it is not found.
  package func open() -> SymbolSource? {
    let named = Self.variable(Self.folderVariable).map {
      $0.split(separator: ":").map(String.init)
    }
    let usual = [
      "/usr/local/nvidia/lib64", "/usr/local/cuda/lib64",
      "/usr/local/cuda/targets/x86_64-linux/lib",
      "/usr/local/cuda/targets/sbsa-linux/lib",
    ]
    let paths = { (folders: [String]) in
      folders.flatMap { folder in fileNames.map { FileSystem.join(folder, $0) } }
    }
    // A name without a folder is the loader's own search.
    return SymbolSource(
      opening: paths(named ?? []) + fileNames
        + paths(usual + Self.toolkitFolders() + Self.wheelFolders()))
  }

  /// Folders of CUDA toolkits by their versions, such as /usr/local/cuda-12.8/lib64.
  private static func toolkitFolders() -> [String] {
    ((try? FileSystem.list("/usr/local")) ?? []).filter { $0.name.utf8.starts(with: "cuda-".utf8) }
      .map { "/usr/local/\($0.name)/lib64" }.reversed()
  }

  /// Folders of NVIDIA's packages in environments of Python.
  private static func wheelFolders() -> [String] {
    var roots = ["VIRTUAL_ENV", "CONDA_PREFIX"].compactMap { variable($0) }
    if let home = variable("HOME") { roots.append("\(home)/.local") }
    roots += ["/usr/local", "/usr", "/opt/conda", "/opt/venv"]
    var folders: [String] = []
    for root in roots {
      let library = FileSystem.join(root, "lib")
      for python in (try? FileSystem.list(library)) ?? []
      where python.name.utf8.starts(with: "python3".utf8) {
        for packages in ["site-packages", "dist-packages"] {
          let nvidia = "\(library)/\(python.name)/\(packages)/nvidia"
          for part in (try? FileSystem.list(nvidia)) ?? [] where part.kind == .folder {
            folders.append("\(nvidia)/\(part.name)/lib")
          }
        }
      }
    }
    return folders
  }

  /// A variable of the environment, nil where it is unset or empty.
  private static func variable(_ name: String) -> String? {
    guard let value = getenv(name).map({ String(cString: $0) }), !value.isEmpty else { return nil }
    return value
  }
}
