// What this machine offers: read from the system, never guessed.

import Files
import OrderedJSON
import Tensor
import TensorCUDA

/// The devices of this machine with what matters for their speed.
struct DeviceCatalog {
  /// The processor's name as the system gives it, nil where it gives none.
  let processorName: String?
  /// Processors that this process may use.
  let processorCount: Int
  /// Threads that kernels use.
  let threadCount: Int
  /// Whether the processor has the AVX-512 instructions that the fast kernels need.
  let hasAVX512: Bool
  /// "OpenBLAS 0.3.21".
  let blasVersion: String
  /// The kernel set that OpenBLAS uses.
  let blasKernels: String
  /// The instructions of the package's own kernels, such as "avx512_bf16", and the types whose products go through them.
  let ownInstructionSet: String
  let ownProducts: [DType]
  /// "oneDNN 2.6.3", nil where the program was built without it.
  let oneDNNVersion: String?
  /// The instruction set that oneDNN uses, such as "avx512_core_bf16".
  let oneDNNInstructionSet: String?
  /// Whose threads run the kernels: "libgomp" or "Dispatch".
  let threadLibrary: String
  /// Memory that this process may use, nil where unknown.
  let memoryByteCount: Int?
  /// Memory that is free to be used now, nil where unknown.
  let availableMemoryByteCount: Int?
  /// GPUs, the libraries that they need, and what is missing.
  let cuda: CUDAInventory

  /// What there is now.
  static func current() -> DeviceCatalog {
    _ = Device.cpu  // starts OpenBLAS
    let processor = ProcessorInformation.current()
    let memory = MemoryInformation.current()
    return DeviceCatalog(
      processorName: processor.name, processorCount: Workers.available, threadCount: Workers.count,
      hasAVX512: processor.hasAVX512,
      blasVersion: OpenBLAS.configuration.split(separator: " ").prefix(2).joined(separator: " "),
      blasKernels: OpenBLAS.kernelName,
      ownInstructionSet: MatrixProducts.instructionSet,
      ownProducts: [DType.float32, .bfloat16].filter { MatrixProducts.areOwn($0) },
      oneDNNVersion: MatrixProducts.oneDNNVersion.map { "oneDNN \($0)" },
      oneDNNInstructionSet: MatrixProducts.oneDNNInstructionSet,
      threadLibrary: MatrixProducts.threadLibrary, memoryByteCount: memory.total,
      availableMemoryByteCount: memory.available, cuda: CUDAInventory.current())
  }

  /// The catalog as one JSON value.
  var json: JSON {
    func optional(_ value: Int?) -> JSON { value.map(JSON.integer) ?? .null }
    let cpu: JSON = [
      "name": "cpu", "available": true,
      "processor": processorName.map(JSON.string) ?? .null,
      "processors": .integer(processorCount), "threads": .integer(threadCount),
      "avx512": .bool(hasAVX512), "blas": .string(blasVersion),
      "blas_kernels": .string(blasKernels),
      "own_kernels_isa": .string(ownInstructionSet),
      "own_products": .array(ownProducts.map { .string($0.rawValue) }),
      "onednn": oneDNNVersion.map(JSON.string) ?? .null,
      "onednn_isa": oneDNNInstructionSet.map(JSON.string) ?? .null,
      "thread_library": .string(threadLibrary),
      "memory_bytes": optional(memoryByteCount),
      "available_memory_bytes": optional(availableMemoryByteCount),
    ]
    return [
      "version": .string(QwenSFT.version), "default": .string(defaultDevice),
      "devices": [cpu, cudaJSON],
    ]
  }

  /// What `--device auto` takes.
  private var defaultDevice: String { cuda.problem == nil ? cuda.gpus.first?.name ?? "cpu" : "cpu" }

  private var cudaJSON: JSON {
    func optional(_ value: String?) -> JSON { value.map(JSON.string) ?? .null }
    return [
      "name": "cuda", "available": .bool(cuda.problem == nil), "reason": optional(cuda.problem),
      "driver": optional(cuda.driverVersion), "nvrtc": optional(cuda.nvrtc),
      "cublaslt": optional(cuda.blasLt), "remarks": .array(cuda.remarks.map(JSON.string)),
      "gpus": .array(
        cuda.gpus.map {
          [
            "name": .string($0.name), "model": .string($0.model),
            "compute_capability": .string($0.capability),
            "memory_bytes": .integer($0.memoryByteCount),
          ]
        }),
    ]
  }

  /// The catalog as lines.
  var table: String {
    let gib = { (bytes: Int) in fixed(Double(bytes) / 0x1p30, digits: 1) + " GiB" }
    let memory =
      memoryByteCount.map { total in
        gib(total) + (availableMemoryByteCount.map { ", \(gib($0)) free" } ?? "")
      } ?? "unknown"
    let blas = "\(blasVersion), \(blasKernels) kernels"
    var products = [blas]
    if let oneDNNVersion, let oneDNNInstructionSet {
      let own = ownProducts.map(\.rawValue)
      let others = [DType.float32, .bfloat16].map(\.rawValue).filter { !own.contains($0) }
      products = [
        (own, "own kernels, \(ownInstructionSet)"),
        (others, "\(oneDNNVersion), \(oneDNNInstructionSet)"), (["float64"], blas),
      ].filter { !$0.0.isEmpty }.map { "\($0.0.joined(separator: " and ")) \($0.1)" }
    } else {
      products[0] += " (built without oneDNN)"
    }
    return """
      qwen-sft \(QwenSFT.version)

      cpu\(defaultDevice == "cpu" ? " (default)" : "")
        processor     \(processorName ?? "unknown")
        processors    \(processorCount), \(threadCount) used
        AVX-512       \(hasAVX512 ? "yes" : "no")
        products      \(products.joined(separator: "; "))
        threads       \(threadLibrary)
        memory        \(memory)

      cuda\(defaultDevice == "cpu" ? "" : " (default)")
      \(cudaLines.map { "  " + $0 }.joined(separator: "\n"))

      """
  }

  private var cudaLines: [String] {
    let gpus = cuda.gpus.map {
      "\($0.name)        \($0.model), compute capability \($0.capability), "
        + "\(fixed(Double($0.memoryByteCount) / 0x1p30, digits: 1)) GiB"
        + ($0.shortcoming == nil ? "" : ", cannot be used")
    }
    let problem = cuda.problem.map { ["not available: \($0)"] } ?? []
    return problem + gpus + [
      "driver        \(cuda.driverVersion.map { "for CUDA \($0)" } ?? "not found")",
      "NVRTC         \(cuda.nvrtc ?? "not found")", "cuBLASLt      \(cuda.blasLt ?? "not found")",
    ] + cuda.remarks
  }
}

/// What /proc/cpuinfo says.
struct ProcessorInformation {
  /// The processor's name.
  var name: String?
  /// Whether it has AVX-512 F, DQ, BW, VL and CD.
  var hasAVX512 = false

  /// This machine's.
  static func current() -> ProcessorInformation {
    ProcessorInformation(cpuinfo: (try? FileSystem.readText("/proc/cpuinfo")) ?? "")
  }

  /// What the text of a /proc/cpuinfo says.
  init(cpuinfo: String) {
    for line in cpuinfo.utf8.split(separator: 0x0A).prefix(200) {
      guard let colon = line.firstIndex(of: 0x3A) else { continue }
      let key = String(decoding: line[..<colon], as: UTF8.self).filter { $0 != "\t" }
      let value = String(
        decoding: line[line.index(after: colon)...].drop { $0 == 0x20 }, as: UTF8.self)
      if key == "model name", name == nil { name = value }
      if key == "flags" {
        let flags = Set(value.split(separator: " "))
        hasAVX512 = flags.isSuperset(of: [
          "avx512f", "avx512dq", "avx512bw", "avx512vl", "avx512cd",
        ])
      }
    }
  }
}

/// What /proc/meminfo and the control group say.
struct MemoryInformation {
  /// Bytes that this process may use.
  var total: Int?
  /// Bytes that it could use now.
  var available: Int?

  /// This machine's.
  static func current() -> MemoryInformation {
    let read = { (path: String) in try? FileSystem.readText(path, maximumByteCount: 1 << 20) }
    var narrowest = MemoryInformation(meminfo: read("/proc/meminfo") ?? "", limit: nil, used: nil)
    for (folder, isFirstVersion) in groups(of: read("/proc/self/cgroup") ?? "") {
      let (limit, used) =
        isFirstVersion
        ? ("memory.limit_in_bytes", "memory.usage_in_bytes") : ("memory.max", "memory.current")
      let group = MemoryInformation(
        meminfo: read("/proc/meminfo") ?? "", limit: read(folder + "/" + limit),
        used: read(folder + "/" + used), statistics: read(folder + "/memory.stat"))
      if let total = group.total { narrowest.total = min(total, narrowest.total ?? total) }
      if let free = group.available {
        narrowest.available = min(free, narrowest.available ?? free)
      }
    }
    return narrowest
  }

  /// The folders of the control groups that a /proc/self/cgroup names, with those around them, and whether they are of the first
  /// version: a limit holds for all that is within.
  static func groups(of text: String) -> [(folder: String, isFirstVersion: Bool)] {
    var folders: [(folder: String, isFirstVersion: Bool)] = [("/sys/fs/cgroup", false)]
    for line in text.utf8.split(separator: 0x0A) {
      let fields = line.split(separator: 0x3A, maxSplits: 2, omittingEmptySubsequences: false)
      guard fields.count == 3 else { continue }
      let isFirstVersion = !fields[1].isEmpty
      if isFirstVersion,
        !fields[1].split(separator: 0x2C).contains(where: { $0.elementsEqual("memory".utf8) })
      {
        continue
      }
      var folder = isFirstVersion ? "/sys/fs/cgroup/memory" : "/sys/fs/cgroup"
      if isFirstVersion { folders.append((folder, true)) }
      for part in fields[2].split(separator: 0x2F) where !part.elementsEqual("..".utf8) {
        folder += "/" + String(decoding: part, as: UTF8.self)
        folders.append((folder, isFirstVersion))
      }
    }
    return folders
  }

  /// What the text of a /proc/meminfo says, within the limit of the control group, if there is one.
  /// Pages of files, which the system gives back when they are needed, count as free.
  init(meminfo: String, limit: String?, used: String?, statistics: String? = nil) {
    func integer(_ key: String, in text: String) -> Int? {
      for line in text.utf8.split(separator: 0x0A) where line.starts(with: key.utf8) {
        let digits = line.dropFirst(key.utf8.count).drop { !(0x30...0x39).contains($0) }
          .prefix { (0x30...0x39).contains($0) }
        return Int(String(decoding: digits, as: UTF8.self))
      }
      return nil
    }
    func kibibytes(_ key: String) -> Int? {
      integer(key, in: meminfo).flatMap {
        let (bytes, isTooLarge) = $0.multipliedReportingOverflow(by: 1024)
        return isTooLarge ? nil : bytes
      }
    }
    func number(_ text: String?) -> Int? {
      text.flatMap { Int(String(decoding: $0.utf8.prefix { $0 != 0x0A }, as: UTF8.self)) }
    }
    total = kibibytes("MemTotal:")
    available = kibibytes("MemAvailable:")
    guard let limit = number(limit), limit > 0, limit < total ?? Int.max else { return }
    total = limit
    if let used = number(used), used >= 0 {
      let pages = statistics.flatMap { integer("inactive_file ", in: $0) } ?? 0
      available = min(available ?? Int.max, max(0, limit - max(0, used - max(0, pages))))
    }
  }
}
