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

  /// The newest major version that names are known for, and the oldest that the device works with.
  private static let majors = 12...13

  /// Its file names for a driver that knows CUDA up to `major`, the best first: code of a newer compiler and a newer library
  /// of products do not run there. The last name says no version, so that the library itself is asked.
  package func fileNames(upToMajor major: Int) -> [String] {
    let stem: String
    switch self {
    case .driver: return ["libcuda.so.1"]
    case .nvrtc: stem = "libnvrtc.so"
    case .blasLt: stem = "libcublasLt.so"
    }
    return Self.majors.reversed().filter { $0 <= major }.map { "\(stem).\($0)" } + [stem]
  }

  /// Whether a library that was opened is one for a driver that knows CUDA up to `major`, by the version it gives itself.
  package func fits(_ source: SymbolSource, upToMajor major: Int) -> Bool {
    guard let version = self.major(of: source) else { return false }
    return self == .driver || version >= Self.majors.lowerBound && version <= major
  }

  /// The major version that a library gives itself, nil where it gives none.
  private func major(of source: SymbolSource) -> Int? {
    switch self {
    case .driver: return 1  // Its versions are asked for by Driver.version().
    case .nvrtc:
      var (major, minor): (Int32, Int32) = (0, 0)
      let version = try? source.function("nvrtcVersion", as: NVRTC.Version.self)
      guard let version, version(&major, &minor) == 0 else { return nil }
      return Int(major)
    case .blasLt:
      let version = try? source.function("cublasLtGetVersion", as: BLASLt.Version.self)
      return version.map { $0() / 10_000 }
    }
  }

  /// What gets it, for a driver that knows CUDA `major`; nil where there is none to ask.
  package func hint(driverMajor major: Int?) -> String {
    // Packages for CUDA 12 have a suffix, those for later versions have none.
    let suffix = major == 12 ? "-cu12" : ""
    let package: String
    switch self {
    case .driver: return "install NVIDIA's driver, of which nvidia-smi shows whether it works"
    case .nvrtc: package = "nvidia-cuda-nvrtc"
    case .blasLt: package = "nvidia-cublas"
    }
    return
      "install the CUDA toolkit\(major.map { " \($0)" } ?? ""), or: pip install \(package)\(suffix); name its folder in \(Self.folderVariable) if it is an unusual one"
  }

  /// What is said where the driver is missing.
  static let noDriver = "there is no libcuda.so.1: \(driver.hint(driverMajor: nil))"

  /// The environment variable that names more folders, separated by colons; they are searched first.
  package static let folderVariable = "QWEN_SFT_CUDA_LIBRARIES"

  /// Opens the library, nil where there is none for a driver that knows CUDA up to `major`.
  package func open(upToMajor major: Int = .max) -> SymbolSource? {
    let fileNames = fileNames(upToMajor: major)
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
        + paths(usual + Self.toolkitFolders() + Self.wheelFolders())
    ) { fits($0, upToMajor: major) }
  }

  /// Folders of CUDA toolkits by their versions, such as /usr/local/cuda-12.8/lib64.
  private static func toolkitFolders() -> [String] {
    ((try? FileSystem.list("/usr/local")) ?? []).filter { $0.name.utf8.starts(with: "cuda-".utf8) }
      .map { "/usr/local/\($0.name)/lib64" }.reversed()
  }

  /// Where the pythons are that the folders `path`, separated by colons, hold: an environment's folder, and that of what it was
  /// made from.
  package static func pythonRoots(path: String) -> [String] {
    path.split(separator: ":").flatMap { folder -> [String] in
      let program = FileSystem.join(String(folder), "python3")
      // Nil where there is none.
      guard let resolved = FileSystem.canonicalPath(program) else { return [] }
      return [program, resolved].map { FileSystem.parent(of: FileSystem.parent(of: $0)) }
    }
  }

  /// Folders of NVIDIA's packages in environments of Python.
  private static func wheelFolders() -> [String] {
    var roots = ["VIRTUAL_ENV", "CONDA_PREFIX"].compactMap { variable($0) }
    roots += pythonRoots(path: variable("PATH") ?? "")
    if let home = variable("HOME") { roots.append("\(home)/.local") }
    return wheelFolders(in: roots + ["/usr/local", "/usr", "/opt/conda", "/opt/venv"])
  }

  /// Folders of NVIDIA's packages in the environments `roots`, each once.
  package static func wheelFolders(in roots: [String]) -> [String] {
    var folders: [String] = []
    var seen: Set<String> = []
    for root in roots where seen.insert(root).inserted {
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
